"""What a model is asked and what it answers, in our own words; stored as JSON, hence part of the database's contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal, Protocol

import msgspec


class Text(msgspec.Struct, tag="text", frozen=True):
    """Plain text."""

    text: str


class File(msgspec.Struct, tag="file", frozen=True):
    """An attachment, already fetched: bytes are base64 in JSON."""

    media_type: str
    data: bytes


class ToolCall(msgspec.Struct, tag="tool_call", frozen=True, omit_defaults=True):
    """The model asks for a tool; `args` is the JSON text as the model wrote it, perhaps invalid.

    `item`, `provider` and `details` (a thought's signature, say) are the provider's own and must go back to it unchanged.
    """

    id: str
    name: str
    args: str
    item: str | None = None
    provider: str | None = None
    details: dict[str, Any] | None = None


class Thinking(msgspec.Struct, tag="thinking", frozen=True, omit_defaults=True):
    """What the model thought; `signature` and `details` are the provider's own and must go back to it unchanged."""

    text: str
    id: str | None = None
    signature: str | None = None
    provider: str | None = None
    details: dict[str, Any] | None = None


class ToolResult(msgspec.Struct, tag="tool_result", frozen=True, omit_defaults=True):
    """What a tool returned, as text (JSON where it was structured)."""

    id: str
    name: str
    content: str
    is_error: bool = False


class UserMessage(msgspec.Struct, tag="user", tag_field="role", frozen=True):
    """What the user said and attached."""

    parts: tuple[Text | File, ...]


class AssistantMessage(msgspec.Struct, tag="assistant", tag_field="role", frozen=True, omit_defaults=True):
    """What the model answered; `model` is `provider:model`."""

    parts: tuple[Text | ToolCall | Thinking, ...]
    model: str = ""


class ToolMessage(msgspec.Struct, tag="tool", tag_field="role", frozen=True):
    """What the tools returned for the calls of the assistant message before."""

    parts: tuple[ToolResult, ...]


Message = UserMessage | AssistantMessage | ToolMessage


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Reasoning(msgspec.Struct, frozen=True):
    """The provider's own reasoning, switched on."""

    effort: Literal["low", "medium", "high"] = "medium"


class ModelCall(msgspec.Struct, frozen=True):
    """One question to a model.

    `models` is the model and then its fallbacks, each `provider:model`. `settings` holds validated model settings
    (`ModelSettings` below). `output_schema` asks for a JSON object of that schema. `script` only concerns `scripted:` models;
    `step` counts the model calls of the run from 0. `played` counts the assistant messages that the session had before this run,
    which `messages` may not all show; `played + step` is the script's turn (without `played`, those in `messages` are counted).
    """

    models: tuple[str, ...]
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    settings: dict[str, Any] = {}
    output_schema: dict[str, Any] | None = None
    reasoning: Reasoning | None = None
    script: dict[str, Any] | None = None
    step: int = 0
    played: int | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call as the provider reported them; `is_estimated` where it never did."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens


class Spend(msgspec.Struct, frozen=True):
    """What one call to one model cost in tokens and time, successful or not."""

    model: str
    usage: Usage
    latency_ms: int


class ModelAnswer(msgspec.Struct, frozen=True):
    """A whole answer.

    `spent` has one entry per call that reached a model: failed attempts that produced output first (estimated where the provider
    reported nothing), the successful one last.
    """

    message: AssistantMessage
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "error"]
    spent: tuple[Spend, ...]


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the answer's text."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    """A piece of what the model thinks."""

    text: str


class Restarted(msgspec.Struct, frozen=True):
    """The text so far is void: the answer begins anew, from a fallback model."""

    reason: str


StreamItem = TextDelta | ReasoningDelta | Restarted | ModelAnswer


class ModelPort(Protocol):
    """What the turn loop asks of models."""

    async def complete(self, call: ModelCall) -> ModelAnswer:
        """The whole answer at once. Raises a `ModelProblem`."""
        ...

    def stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        """The answer as it comes; a `ModelAnswer` is the last item. Raises a `ModelProblem`."""
        ...
