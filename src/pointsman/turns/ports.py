"""What the turn loop needs from others: tools to call, and somebody who records each step."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pointsman.approvals.rows import Asking
from pointsman.llm.port import ModelAnswer, ModelCall, ToolCall, ToolResult, ToolSpec, UserMessage


class ToolOutcome(NamedTuple):
    """What a tool says to the model; an error is told to the model, never thrown at the caller."""

    content: str
    is_error: bool = False


class Waits(NamedTuple):
    """The call cannot be made, or finished, before something else goes on; nothing is held meanwhile."""


class Toolbox(Protocol):
    """The tools of one turn."""

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        ...

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run a tool, or say what somebody has to decide first (then nothing was done), or that it has to be called again later.

        Called again with the same call id after a crash, it must not take effect twice.
        """
        ...


class Recorder(Protocol):
    """Makes steps durable and tells the world. A step returns once it is committed."""

    async def asking(self, call: ModelCall) -> None:
        """A model is about to be asked, unless this raises; until the step that has its answer is recorded, it may have cost something."""
        ...

    def text(self, text: str) -> None:
        """A piece of the answer, sent at once."""
        ...

    def reasoning(self, text: str) -> None:
        """A piece of what the model thinks, sent at once."""
        ...

    def reset(self, reason: str) -> None:
        """The text of the current message is void."""
        ...

    async def ready(self) -> None:
        """Wait until further events may be sent."""
        ...

    async def model_step(self, answer: ModelAnswer, note: UserMessage | None = None) -> None:
        """The model asked for tools, or, with a note, its answer was not accepted and it is told why."""
        ...

    async def tool_step(self, result: ToolResult) -> None:
        """A tool returned."""
        ...
