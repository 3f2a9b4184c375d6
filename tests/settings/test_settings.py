from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import certifi
import pydantic
import pytest
from pydantic import SecretStr

from pointsman.llm.names import Providers
from pointsman.settings import BUILT_IN, ProviderSettings, Settings, SettingsInvalid, load_settings, variable_names

Given = Callable[..., Settings]
SECRET = "sk-hush-hush"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Load the settings of an environment that holds these variables."""

    def load(overrides: dict[str, Any] | None = None, /, **variables: str) -> Settings:
        for name in [name for name in os.environ if name.upper().startswith("POINTSMAN_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings(**(overrides or {}))

    return load


SAMPLES: dict[str, tuple[str, Any]] = {
    "POINTSMAN_DATA_DIR": ("/srv/pointsman", Path("/srv/pointsman")),
    "POINTSMAN_HOST": ("0.0.0.0", "0.0.0.0"),
    "POINTSMAN_DATABASE__URL": (SECRET, SECRET),
    "POINTSMAN_LIMITS__TENANT_SHARE": ("0.25", 0.25),
    "POINTSMAN_FAILPOINTS": ('["runs.end.after:kill"]', ("runs.end.after:kill",)),
    "POINTSMAN_RUNNER__TARGETS": ('["local"]', ("local",)),
    "POINTSMAN_SKILLS__TARGET": ("elsewhere", "elsewhere"),
    "POINTSMAN_SKILLS__SCRIPT_TIMEOUT": ("5", timedelta(seconds=5)),
    "POINTSMAN_SKILLS__SCRIPT_MEMORY_MB": ("64", 64),
    "POINTSMAN_SKILLS__SCRIPT_OUTPUT_BYTES": ("1024", 1024),
    "POINTSMAN_SKILLS__CONCURRENT_SCRIPTS": ("2", 2),
    "POINTSMAN_MCP__CONNECTIONS": ("9", 9),
    "POINTSMAN_MCP__PROCESSES": ("2", 2),
    "POINTSMAN_MCP__IDLE": ("30", timedelta(seconds=30)),
    "POINTSMAN_MCP__STDIO__<NAME>__COMMAND": ("/usr/bin/files-server", "/usr/bin/files-server"),
    "POINTSMAN_MCP__STDIO__<NAME>__ARGS": ('["--root", "/srv"]', ("--root", "/srv")),
    "POINTSMAN_MCP__STDIO__<NAME>__ENV": (f'{{"API_KEY": "{SECRET}"}}', {"API_KEY": SecretStr(SECRET)}),
    "POINTSMAN_MCP__STDIO__<NAME>__FOLDERS": ('["/srv"]', ("/srv",)),
    "POINTSMAN_KNOWLEDGE__STORE": ("s3://files/pointsman", "s3://files/pointsman"),
    "POINTSMAN_KNOWLEDGE__STORE_OPTIONS": (f'{{"access_key_id": "{SECRET}"}}', {"access_key_id": SecretStr(SECRET)}),
    "POINTSMAN_KNOWLEDGE__SOURCES": (
        '{"gs://handbooks": {"skip_signature": "true"}}',
        {"gs://handbooks": {"skip_signature": SecretStr("true")}},
    ),
    "POINTSMAN_KNOWLEDGE__EMBEDDER": ("openai:text-embedding-3-small", "openai:text-embedding-3-small"),
    "POINTSMAN_KNOWLEDGE__EMBEDDER_DIMENSIONS": ("512", 512),
    "POINTSMAN_KNOWLEDGE__EMBEDDER_BATCH": ("32", 32),
    "POINTSMAN_KNOWLEDGE__RERANKER": ("openai:gpt-6-luna", "openai:gpt-6-luna"),
    "POINTSMAN_KNOWLEDGE__FILE_ROOTS": ('["/srv/handbooks"]', ("/srv/handbooks",)),
    "POINTSMAN_NOTIFY__URLS": (f'["json://user:{SECRET}@host"]', (f"json://user:{SECRET}@host",)),
    "POINTSMAN_RETENTION__WEBHOOKS": ("20d", timedelta(20)),
    "POINTSMAN_RETENTION__TOKEN_USES": ("20d", timedelta(20)),
    "POINTSMAN_EGRESS__ALLOW": ('["10.0.0.0/8"]', ("10.0.0.0/8",)),
    "POINTSMAN_KEYRING__KEYS": (f'["{SECRET}"]', (SECRET,)),
    "POINTSMAN_LOG__LEVEL": ("debug", "debug"),
    "POINTSMAN_LOG__FORMAT": ("console", "console"),
    **{f"POINTSMAN_OAUTH__<NAME>__{name}_URL": ("http://idp:1/x", "http://idp:1/x") for name in ("TOKEN", "REVOKE", "AUTHORIZE")},
    "POINTSMAN_OAUTH__<NAME>__AUTHORIZE_PARAMS": ('{"prompt": "consent"}', {"prompt": "consent"}),
    "POINTSMAN_OAUTH__<NAME>__SCOPES": ('["repo"]', ("repo",)),
    "POINTSMAN_OAUTH__<NAME>__ISSUER": ("https://idp.example", "https://idp.example"),
    "POINTSMAN_OAUTH__<NAME>__PKCE": ("false", False),
    "POINTSMAN_PUBLIC_URL": ("https://agents.example/gateway", "https://agents.example/gateway"),
    "POINTSMAN_PROVIDERS__<NAME>__BASE_URL": ("http://models:1", "http://models:1"),
    "POINTSMAN_PROVIDERS__<NAME>__CONTEXT_IMAGES": ("false", False),
    "POINTSMAN_PROVIDERS__<NAME>__CONTEXT_PDF": ("true", True),
    "POINTSMAN_PROVIDERS__<NAME>__PROXY": ("http://proxy:3128", "http://proxy:3128"),
    "POINTSMAN_PROVIDERS__<NAME>__CA_FILE": (certifi.where(), Path(certifi.where())),
    "POINTSMAN_RUNS__HEARTBEAT": ("1.5", timedelta(seconds=1.5)),
    "POINTSMAN_RUNS__DEAD_AFTER": ("9", timedelta(seconds=9)),
    "POINTSMAN_SUPERVISION__ASK_AT_RISK": ("medium", "medium"),
    "POINTSMAN_WORKERS__POOL_LIMITS": ('{"linux_worker_pool": 5}', {"linux_worker_pool": 5}),
    "POINTSMAN_APPROVALS__LINKS_URL": ("https://pointsman.example", "https://pointsman.example"),
    "POINTSMAN_RETENTION__JOBS": ("30d", timedelta(30)),
    "POINTSMAN_RETENTION__EVENTS": ("45d", timedelta(45)),
    "POINTSMAN_RETENTION__RUNS": ("P60D", timedelta(60)),
    "POINTSMAN_RETENTION__SESSIONS": ("864000", timedelta(10)),
    "POINTSMAN_RETENTION__USAGE": ("400 days", timedelta(400)),
}


@pytest.mark.parametrize("name", variable_names())
def test_every_setting_is_reached_by_its_variable(given: Given, name: str) -> None:
    path = path_of(name)
    named = {"POINTSMAN_PROVIDERS__MINE__BASE_URL": "http://mine:1", "POINTSMAN_OAUTH__MINE__CLIENT_ID": "me"}
    named |= {"POINTSMAN_MCP__STDIO__MINE__COMMAND": "/usr/bin/mine"}
    default = value_at(given(**named), path)
    text, expected = SAMPLES.get(name) or sample_for(default)
    variable = name.replace("<NAME>", "MINE")
    assert value_at(given(**{**named, variable: text}), path) == expected != default


def path_of(name: str) -> list[str]:
    if name.startswith("POINTSMAN_"):
        return name.removeprefix("POINTSMAN_").replace("<NAME>", "MINE").lower().split("__")
    return [name.lower().replace("gemini", "google").replace("google_google", "google")]


def value_at(settings: Any, path: list[str]) -> Any:
    value: Any = settings
    for key in path:
        value = value.get(key) if isinstance(value, dict) else getattr(value, key)
    return plain(value)


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value.get_secret_value() if isinstance(value, pydantic.SecretStr) else value


def sample_for(default: Any) -> tuple[str, Any]:
    if isinstance(default, timedelta):
        return "7.25", timedelta(seconds=7.25)
    if isinstance(default, int | float):
        return str(default + 1), default + 1
    return "some text", "some text"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("POINTSMAN_PROT", "POINTSMAN_PORT"),
        ("POINTSMAN_DATABASE_URL", "POINTSMAN_DATABASE__URL"),
        ("POINTSMAN_RUNS__HARTBEAT", "POINTSMAN_RUNS__HEARTBEAT"),
        ("POINTSMAN_PROVIDERS__MY_LLM__BASEURL", "POINTSMAN_PROVIDERS__MY_LLM__BASE_URL"),
        ("POINTSMAN_PROVIDERS__S__FIRSTBYTE", "POINTSMAN_PROVIDERS__S__FIRST_BYTE"),
        ("POINTSMAN_SECRET__DEPLOY_KEY", "POINTSMAN_SECRETS__DEPLOY_KEY"),
        ("POINTSMAN_OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("pointsman_prot", "POINTSMAN_PORT"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_right_one(given: Given, name: str, suggestion: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        given(**{name: "1"})
    assert refused.value.detail == f"Unknown setting {name}."
    assert refused.value.hint == f"Did you mean {suggestion}?"


@pytest.mark.parametrize("name", ["POINTSMAN_XYZZY", "POINTSMAN_DATABASE", "POINTSMAN_PROVIDERS", "POINTSMAN_PROVIDERS__BASE_URL"])
def test_what_is_no_setting_is_refused(given: Given, name: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"Unknown setting {name}"):
        given(**{name: "{}"})


def test_the_variables_of_the_command_line_are_no_strangers(given: Given) -> None:
    assert given(POINTSMAN_URL="http://gateway", POINTSMAN_API_KEY="pm_x").port == 8080


def test_a_named_provider_may_have_underscores_and_is_called_in_lower_case(given: Given) -> None:
    settings = given(POINTSMAN_PROVIDERS__MY_LLM__BASE_URL="http://llm:8000/v1", POINTSMAN_PROVIDERS__MY_LLM__FIRST_BYTE="5")
    assert list(settings.providers) == ["my_llm"]
    provider, model = Providers(settings).require_configured("my_llm:llama3:8b")
    assert (provider.name, provider.base_url, model) == ("my_llm", "http://llm:8000/v1", "llama3:8b")
    assert provider.variable("first_byte") == "POINTSMAN_PROVIDERS__MY_LLM__FIRST_BYTE"
    assert provider.limits.first_byte == timedelta(seconds=5)


def test_secrets_of_targets_are_named_in_lower_case_and_are_texts_whatever_they_look_like(given: Given) -> None:
    settings = given(POINTSMAN_SECRETS__DEPLOY_KEY="-----BEGIN\nKEY-----\n", POINTSMAN_SECRETS__B='{"a": 1}', POINTSMAN_SECRETS__C="12")
    held = {name: secret.get_secret_value() for name, secret in settings.secrets.items()}
    assert held == {"deploy_key": "-----BEGIN\nKEY-----\n", "b": '{"a": 1}', "c": "12"}


def test_a_mistyped_builtin_provider_does_not_lose_its_settings(given: Given) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        given(POINTSMAN_PROVIDERS__OPENIA__API_KEY=SECRET)
    assert refused.value.detail == (
        "POINTSMAN_PROVIDERS: The provider openia needs POINTSMAN_PROVIDERS__OPENIA__BASE_URL. Did you mean POINTSMAN_PROVIDERS__OPENAI?"
    )


def test_the_builtin_providers_are_those_that_models_know() -> None:
    assert sorted(name.replace("-", "_") for name in Providers(Settings()).by_name) == sorted(BUILT_IN)


def test_time_kept_is_days_or_nought_for_ever(given: Given) -> None:
    kept = given(POINTSMAN_RETENTION__EVENTS="45d", POINTSMAN_RETENTION__RUNS="0", POINTSMAN_RETENTION__USAGE="P400D").retention
    assert (kept.events, kept.runs, kept.sessions, kept.usage) == (timedelta(45), timedelta(), timedelta(), timedelta(400))
    with pytest.raises(SettingsInvalid, match="POINTSMAN_RETENTION__RUNS: Rows are kept for 1 to"):
        given(POINTSMAN_RETENTION__RUNS="3600")


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"POINTSMAN_PORT": "eighty"}, "POINTSMAN_PORT: Input should be a valid integer"),
        ({"POINTSMAN_PORT": "65536"}, "POINTSMAN_PORT: Input should be less than or equal to 65535"),
        ({"POINTSMAN_LOG__LEVEL": "loud"}, "POINTSMAN_LOG__LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ({"POINTSMAN_RUNS__MAX_DURATION": "soon"}, "POINTSMAN_RUNS__MAX_DURATION: Input should be a valid timedelta"),
        ({"POINTSMAN_RUNS__FLUSH_INTERVAL": "0"}, "POINTSMAN_RUNS__FLUSH_INTERVAL: A duration must be above 0"),
        ({"POINTSMAN_PROVIDERS__OPENAI__IDLE": "-1"}, "POINTSMAN_PROVIDERS__OPENAI__IDLE: A duration must be above 0"),
        (
            {"POINTSMAN_DATABASE__STATEMENT_TIMEOUT": "P400D"},
            "POINTSMAN_DATABASE__STATEMENT_TIMEOUT: A duration must be above 0 and at most 7",
        ),
        ({"POINTSMAN_RUNS__MAX_DURATION": "nan"}, "POINTSMAN_RUNS__MAX_DURATION: "),
        ({"POINTSMAN_EGRESS__ALLOW": "10.0.0.0/8"}, "POINTSMAN_EGRESS__ALLOW: This is not a JSON array"),
        ({"POINTSMAN_KEYRING__KEYS": SECRET}, "POINTSMAN_KEYRING__KEYS: This is not a JSON array"),
        ({"POINTSMAN_KEYRING__KEYS": f'{{"key": "{SECRET}"}}'}, "POINTSMAN_KEYRING__KEYS: Input should be a valid tuple"),
        (
            {"POINTSMAN_RUNS__HEARTBEAT": "3"},
            "POINTSMAN_RUNS: POINTSMAN_RUNS__DEAD_AFTER must be at least three times POINTSMAN_RUNS__HEARTBEAT",
        ),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(given: Given, variables: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        given(**variables)
    assert refused.value.detail.startswith(complaint)
    assert SECRET not in f"{refused.value!r} {refused.value.detail} {refused.value.__cause__} {refused.value.describe()}"


def test_all_bad_values_are_named_at_once(given: Given) -> None:
    with pytest.raises(SettingsInvalid, match=r"POINTSMAN_PORT: .*; POINTSMAN_LIMITS__LIVE_RUNS: "):
        given(POINTSMAN_PORT="x", POINTSMAN_LIMITS__LIVE_RUNS="0")


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("0.5", 0.5), ("PT15M", 900), ("00:01:30", 90), ("P1DT1S", 86401)], ids=str)
def test_durations_are_seconds_or_iso_8601(given: Given, text: str, seconds: float) -> None:
    assert given(POINTSMAN_RUNS__MAX_DURATION=text).runs.max_duration == timedelta(seconds=seconds)


def test_an_empty_variable_is_an_unset_one(given: Given) -> None:
    names = {name.replace("<NAME>", "OPENAI"): "" for name in variable_names()}
    assert given(**names) == given()


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("OPENAI_API_KEY", "openai:gpt-4o"),
        ("OPENAI_API_KEY", "openai-responses:gpt-4o"),
        ("ANTHROPIC_API_KEY", "anthropic:claude-sonnet-4-5"),
        ("GOOGLE_API_KEY", "google:gemini-2.5-pro"),
        ("GEMINI_API_KEY", "google:gemini-2.5-pro"),
        ("POINTSMAN_PROVIDERS__OPENAI__API_KEY", "openai:gpt-4o"),
    ],
)
def test_the_usual_names_of_the_providers_keys_are_read(given: Given, variable: str, model: str) -> None:
    provider, _ = Providers(given(**{variable: SECRET})).require_configured(model)
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("OPENAI_BASE_URL", "openai:m"),
        ("ANTHROPIC_BASE_URL", "anthropic:m"),
        ("GOOGLE_BASE_URL", "google:m"),
        ("GOOGLE_GEMINI_BASE_URL", "google:m"),
        ("GEMINI_BASE_URL", "google:m"),
        ("POINTSMAN_PROVIDERS__OPENAI_RESPONSES__BASE_URL", "openai-responses:m"),
    ],
)
def test_a_server_of_ones_own_needs_no_key(given: Given, variable: str, model: str) -> None:
    provider, _ = Providers(given(**{variable: "http://proxy:4000"})).require_configured(model)
    assert provider.base_url == "http://proxy:4000"


def test_what_the_command_line_says_wins_over_the_environment(given: Given) -> None:
    settings = given({"port": 9, "database": {"url": "postgresql://mine"}}, POINTSMAN_PORT="7", POINTSMAN_DATABASE__POOL_SIZE="3")
    assert settings.port == 9
    assert settings.database.url is not None
    assert (settings.database.url.get_secret_value(), settings.database.pool_size) == ("postgresql://mine", 3)


def test_a_file_named_env_is_not_read(given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("POINTSMAN_PORT=1\nPOINTSMAN_NONSENSE=2\nOPENAI_API_KEY=x\n")
    monkeypatch.chdir(tmp_path)
    assert (given().port, given().openai_api_key) == (8080, None)


def test_a_secret_is_never_shown(given: Given) -> None:
    settings = given(
        POINTSMAN_DATABASE__URL=f"postgresql://u:{SECRET}@db/x",
        POINTSMAN_KEYRING__KEYS=json.dumps([SECRET]),
        POINTSMAN_PROVIDERS__OPENAI__API_KEY=SECRET,
        OPENAI_API_KEY=SECRET,
        ANTHROPIC_API_KEY=SECRET,
        GOOGLE_API_KEY=SECRET,
        POINTSMAN_SECRETS__MINE=SECRET,
    )
    shown = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()), repr(settings.providers)]
    assert [SECRET in text for text in shown] == [False] * 5
    assert pickle.loads(pickle.dumps(settings.database)) == settings.database


def test_the_tree_is_frozen(given: Given) -> None:
    settings = given(POINTSMAN_PROVIDERS__OPENAI__API_KEY=SECRET)
    for section, name in ((settings, "port"), (settings.database, "pool_size"), (settings.providers["openai"], "retries")):
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(section, name, 5)


def test_an_option_that_does_not_exist_is_refused(given: Given) -> None:
    with pytest.raises(SettingsInvalid, match="POINTSMAN_PROT: Extra inputs are not permitted"):
        given({"prot": 1})


def test_the_data_directory_follows_the_platform(given: Given, tmp_path: Path) -> None:
    assert given(XDG_DATA_HOME=str(tmp_path)).data_dir == tmp_path / "pointsman"
    assert given(XDG_DATA_HOME="", HOME=str(tmp_path)).data_dir == tmp_path / ".local" / "share" / "pointsman"


def test_a_section_refuses_what_it_does_not_know() -> None:
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        ProviderSettings.model_validate({"bass_url": "x"})
