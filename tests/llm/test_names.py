"""Model names: what exists, what is configured, what a mistake is told; and nothing heavy is loaded to say so."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr, ValidationError

from pointsman.llm.catalogue import EXAMPLES
from pointsman.llm.errors import ModelNotConfigured, ModelUnknown
from pointsman.llm.models import Models
from pointsman.llm.options import ModelSettings
from pointsman.settings import ProviderSettings, Settings


def bare(**settings: object) -> Models:
    return Models(Settings.model_validate(settings))


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("gpt-4o", "provider"),
        ("openai:", "openai:…"),
        ("", "Known providers"),
        ("opnai:gpt-4o", "Did you mean openai:gpt-4o?"),
        ("OpenAI:gpt-4o", "Did you mean openai:gpt-4o?"),
        ("nobody:x", "POINTSMAN_PROVIDERS__<NAME>__BASE_URL"),
        ("openai:" + "x" * 300, ""),
        ("openai:a\nb", ""),
    ],
)
def test_a_wrong_name_is_told_with_a_suggestion(model: str, hint: str) -> None:
    with pytest.raises(ModelUnknown) as unknown:
        bare().require(model)
    assert hint in unknown.value.detail + unknown.value.hint


def test_a_known_provider_without_a_key_names_its_variable() -> None:
    models = bare()
    models.require("anthropic:claude-sonnet-4-6")
    with pytest.raises(ModelNotConfigured) as missing:
        models.require_configured("anthropic:claude-sonnet-4-6")
    assert "ANTHROPIC_API_KEY" in missing.value.hint
    bare(ANTHROPIC_API_KEY="k").require_configured("anthropic:claude-sonnet-4-6")


def test_a_server_of_the_operators_own_needs_no_key() -> None:
    bare(OPENAI_BASE_URL="http://localhost:1/v1").require_configured("openai:m")
    bare(OPENAI_BASE_URL="http://localhost:1/v1").require_configured("openai-responses:m")
    bare(providers={"ollama": {"base_url": "http://localhost:1/v1"}}).require_configured("ollama:llama3:8b")


def test_the_catalogue_says_what_is_configured_and_shows_no_key() -> None:
    settings = Settings(openai_api_key=SecretStr("sk-secret"), providers={"ollama": ProviderSettings(base_url="http://localhost:1/v1")})
    entries = {entry.provider: entry for entry in Models(settings).catalogue()}
    assert {name for name, entry in entries.items() if entry.configured} == {"openai", "openai-responses", "ollama", "scripted"}
    assert entries["anthropic"].missing == "ANTHROPIC_API_KEY"
    assert entries["scripted"].models == ["scripted:echo", "scripted:script"]
    assert "sk-secret" not in repr(entries)


def test_the_examples_are_names_that_the_library_knows() -> None:
    from typing import get_args

    from pydantic_ai.models import KnownModelName

    known = set(get_args(KnownModelName.__value__))
    for provider in ("openai", "anthropic", "google"):
        assert {f"{provider}:{name}" for name in EXAMPLES[provider]} <= known
    assert {f"openai-chat:{name}" for name in EXAMPLES["openai"]} <= known


def test_no_provider_library_is_loaded_until_a_provider_is_used() -> None:
    program = (
        "import sys, asyncio, pointsman.llm.models as m; from pointsman.settings import Settings;"
        "from pointsman.llm.port import *; models = m.Models(Settings());"
        "call = ModelCall(('scripted:echo',), '', (UserMessage((Text('hi'),)),));"
        "assert asyncio.run(models.complete(call)).message.parts == (Text('hi'),); models.catalogue(); models.require('openai:x');"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'google.genai', 'httpx2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 3},
        {"max_tokens": 0},
        {"top_p": 0},
        {"stop_sequences": []},
        {"tempratur": 1},
        {"tool_choice": "add"},
        {"seed": 2**40},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(settings)


def test_only_what_was_given_is_sent() -> None:
    assert ModelSettings.model_validate({"temperature": 0, "stop_sequences": ["a"]}).given() == {
        "temperature": 0.0,
        "stop_sequences": ["a"],
    }
    assert ModelSettings().given() == {}
