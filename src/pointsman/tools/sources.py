"""Where tools come from that are not built in, and how the tools of several sources stand as one toolbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pointsman.approvals.rows import Asking
from pointsman.credentials.using import RunUser
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits


class ToolSource(Protocol):
    """Knows the tools of one type."""

    async def open(self, references: Sequence[dict[str, Any]], user: RunUser) -> Toolbox:
        """The tools that an agent's references of this type name, for one turn. Nothing is connected to before a tool is called."""
        ...


class Joined:
    """A toolbox with those of sources added. Where two offer a tool of one name, the first has it."""

    def __init__(self, boxes: Sequence[Toolbox]) -> None:
        self._owners: dict[str, Toolbox] = {}
        specs: list[ToolSpec] = []
        for box in boxes:
            for spec in box.specs:
                if spec.name not in self._owners:
                    self._owners[spec.name] = box
                    specs.append(spec)
        self._specs = tuple(specs)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return self._specs

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run a tool."""
        return await self._owners[call.name].call(call)
