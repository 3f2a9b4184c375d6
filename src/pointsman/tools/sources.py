"""Where tools come from that are not built in, and how the tools of several sources stand as one toolbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pointsman.approvals.rows import Asking
from pointsman.credentials.using import RunUser
from pointsman.kit.db import Connection
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits


@dataclass(frozen=True, slots=True)
class SourceTool:
    """A tool that agents and prompts may list, as `tool` of `source`; the model and permissions know it by `spec.name`."""

    type: str
    source: str
    tool: str
    spec: ToolSpec


class SourceTools(Toolbox, Protocol):
    """The tools of one source for one turn."""

    def may_repeat(self, name: str) -> bool:
        """Whether calling the tool again with the same arguments does no harm, as far as anybody says."""
        ...


class ToolSource(Protocol):
    """Knows the tools of one type."""

    async def open(self, references: Sequence[dict[str, Any]], user: RunUser) -> SourceTools:
        """The tools that an agent's references of this type name, for one turn. Nothing is connected to before a tool is called."""
        ...

    async def require(self, connection: Connection, references: Mapping[str, dict[str, Any]]) -> None:
        """Whether what the references name, each at its pointer, is there. Raises a Problem whose `errors` suggest what is close."""
        ...

    async def list_tools(self) -> Sequence[SourceTool]:
        """What may be listed now, by name."""
        ...


class Sources(dict[str, ToolSource]):
    """The sources of a process, by the type of their tools."""

    async def list_tools(self) -> list[SourceTool]:
        """What each of them has now."""
        return [tool for source in self.values() for tool in await source.list_tools()]


async def require_tools(
    connection: Connection, sources: Mapping[str, ToolSource], references: Sequence[dict[str, Any]], pointer: str
) -> None:
    """Whether everything is there that a list of references at `pointer` names. Raises the Problem of a source that lacks something."""
    placed = {f"{pointer}/{index}": reference for index, reference in enumerate(references)}
    for kind, source in sources.items():
        if of_kind := {where: reference for where, reference in placed.items() if reference["type"] == kind}:
            await source.require(connection, of_kind)


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
