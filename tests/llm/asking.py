"""How the tests of this folder ask models."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from pydantic import SecretStr

from pointsman.llm.models import Models
from pointsman.llm.port import File, ModelAnswer, ModelCall, ReasoningDelta, Restarted, StreamItem, Text, TextDelta, ToolSpec, UserMessage

KEYS = {name: SecretStr(f"key-of-{name}-0123456789") for name in ("openai", "anthropic", "google")}
# One model a wire format, each of which takes images and thinks.
WIRES = ("vllm:some/model", "openai:gpt-6-luna", "openai-responses:gpt-6-luna", "anthropic:claude-sonnet-4-6", "google:gemini-3.8-flash")
ADD = ToolSpec(
    "add",
    "Adds two numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)


def ask(model: str | tuple[str, ...], text: str, *files: File, **more: Any) -> ModelCall:
    """A call with one user message."""
    models = (model,) if isinstance(model, str) else model
    more.setdefault("messages", (UserMessage((Text(text), *files)),))
    return ModelCall(models, more.pop("system", "You are brief."), **more)


async def drain(models: Models, call: ModelCall, into: list[StreamItem] | None = None) -> ModelAnswer:
    """Read a stream to its end; `into` gets what came before the answer, also when the stream fails."""
    async with aclosing(models.stream(call)) as items:
        async for item in items:
            if isinstance(item, ModelAnswer):
                return item
            if into is not None:
                into.append(item)
    raise AssertionError("the stream ended without an answer")


def said(items: list[StreamItem]) -> str:
    """The text of a stream; what came before a restart is void."""
    text = ""
    for item in items:
        text = "" if isinstance(item, Restarted) else text + item.text if isinstance(item, TextDelta) else text
    return text


def thought(items: list[StreamItem]) -> str:
    return "".join(item.text for item in items if isinstance(item, ReasoningDelta))
