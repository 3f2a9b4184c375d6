"""What `Models` asks of a provider's adapter: one attempt at one call, no retries, no fallbacks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

import msgspec

from pointsman.llm.port import AssistantMessage, ModelCall, ReasoningDelta, TextDelta, Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "error"]


class Reply(msgspec.Struct, frozen=True):
    """A whole answer; `usage` is None where the provider did not report it."""

    message: AssistantMessage
    finish_reason: FinishReason
    usage: Usage | None


class Adapter(Protocol):
    """One provider. `model` is the name without the provider. Both raise a `ModelProblem`."""

    async def complete(self, model: str, call: ModelCall) -> Reply:
        """The whole answer at once."""
        ...

    def stream(self, model: str, call: ModelCall) -> AsyncGenerator[TextDelta | ReasoningDelta | Reply]:
        """The answer as it comes; a `Reply` is the last item. On failure the problem's `produced` says how much had come."""
        ...

    def unsupported(self, model: str, *, reasoning: bool) -> frozenset[str]:
        """The model settings that would have no effect, with or without the provider's reasoning switched on."""
        ...

    def reasons(self, model: str) -> bool:
        """Whether the model takes a reasoning effort."""
        ...

    def accepts(self, model: str, media_type: str) -> bool:
        """Whether the model takes attachments of that media type."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...
