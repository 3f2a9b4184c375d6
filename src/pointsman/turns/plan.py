"""What one turn is made of: a frozen plan, and the messages that grow with each recorded step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any

from pointsman.llm.port import AssistantMessage, Message, Reasoning, Text, ToolCall, ToolMessage, ToolResult, UserMessage

THINK = "think"


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """Resolved once, then never changed within the turn.

    `played` counts the model's answers in earlier turns of the session, for scripted models. With `think_most` above 0
    the model has a `think` tool, which it must call at least `think_least` times before it answers.
    """

    models: tuple[str, ...]
    system: str
    history: tuple[Message, ...]
    settings: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    reasoning: Reasoning | None = None
    think_least: int = 0
    think_most: int = 0
    script: dict[str, Any] | None = None
    played: int = 0
    max_steps: int = 32
    tool_timeout: timedelta = timedelta(seconds=60)
    untimed: frozenset[str] = frozenset()  # tools that may take as long as the run
    stream: bool = True


@dataclass(slots=True)
class TurnState:
    """The messages of this turn so far, the user's first; every one of them is a row."""

    messages: list[Message] = field(default_factory=list[Message])

    @property
    def model_calls(self) -> int:
        """How many answers of the model are recorded."""
        return sum(isinstance(message, AssistantMessage) for message in self.messages)

    @property
    def thoughts(self) -> int:
        """How often the model thought with the think tool."""
        return sum(result.name == THINK and not result.is_error for result in self._results())

    @property
    def corrections(self) -> int:
        """How often the model was told that its answer was not accepted."""
        return sum(isinstance(message, UserMessage) for message in self.messages) - 1

    def allowed_thoughts(self, most: int) -> set[str]:
        """Which think calls of the last answer stay within `most`; the same whether or not some have recorded results already."""
        last = max(index for index, message in enumerate(self.messages) if isinstance(message, AssistantMessage))
        before = TurnState(self.messages[:last]).thoughts
        thinking = [part.id for part in self.messages[last].parts if isinstance(part, ToolCall) and part.name == THINK]
        return set(thinking[: max(0, most - before)])

    def pending_calls(self) -> list[ToolCall]:
        """Tool calls of the last answer that have no recorded result yet."""
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if isinstance(message, AssistantMessage):
                have = {result.id for result in self._results(index + 1)}
                return [part for part in message.parts if isinstance(part, ToolCall) and part.id not in have]
        return []

    def last_text(self) -> str:
        """What the model said beside its last calls."""
        last = next((message for message in reversed(self.messages) if isinstance(message, AssistantMessage)), None)
        return "" if last is None else "".join(part.text for part in last.parts if isinstance(part, Text))

    def conversation(self, history: Iterable[Message]) -> tuple[Message, ...]:
        """What the model is shown: results of parallel tools, recorded one by one, stand in one message in the order of their calls."""
        joined: list[Message] = []
        order: dict[str, int] = {}
        for message in chain(history, self.messages):
            last = joined[-1] if joined else None
            if isinstance(message, AssistantMessage):
                order = {part.id: index for index, part in enumerate(message.parts) if isinstance(part, ToolCall)}
            if isinstance(message, ToolMessage) and isinstance(last, ToolMessage):
                parts = sorted(last.parts + message.parts, key=lambda part: order.get(part.id, len(order)))
                joined[-1] = ToolMessage(tuple(parts))
            else:
                joined.append(message)
        return tuple(joined)

    def _results(self, start: int = 0) -> Iterable[ToolResult]:
        for message in self.messages[start:]:
            if isinstance(message, ToolMessage):
                yield from message.parts
