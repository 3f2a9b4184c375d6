"""Who plays an agent of the demonstration: a model that the environment configures, else the script that lies beside the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.client import PointsmanClient

SCRIPT = "scripted:script"

# Small ones, one for each provider that the environment may configure.
_SMALL = {"openai": "openai:gpt-6-luna", "anthropic": "anthropic:claude-haiku-5-5", "google": "google:gemini-3.5-flash-lite"}
_WORD_MS = 12  # about as fast as people read


def find_model(client: PointsmanClient) -> str:
    """A model of the first provider that is configured, else the script."""
    configured = {provider["provider"] for provider in client.models.list() if provider["configured"]}
    return next((model for name, model in _SMALL.items() if name in configured), SCRIPT)


def with_model(config: dict[str, Any], model: str, conversation: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's config with this model, which as a script says what the turns of the conversation have as `answers`."""
    if not model.startswith("scripted:"):
        return config | {"model": model}
    answers = [answer | {"delay_ms": _WORD_MS} for turn in conversation["turns"] for answer in turn["answers"]]
    return config | {"model": SCRIPT, "script": {"turns": answers}}
