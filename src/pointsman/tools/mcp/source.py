"""MCP servers as a source of tools: what is approved is offered, from our own rows; a server is talked to when a tool is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec
import structlog

from pointsman.approvals.rows import Asking
from pointsman.credentials.using import RunUser
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import FieldError
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.tools.mcp import queries
from pointsman.tools.mcp.calling import Calls
from pointsman.tools.mcp.errors import McpServerUnknown
from pointsman.tools.mcp.rows import PinnedServer, PinnedTool, Server, by_name
from pointsman.tools.mcp.servers import Servers
from pointsman.tools.naming import model_name
from pointsman.tools.sources import SourceTool
from pointsman.turns.ports import ToolOutcome, Waits

log = structlog.get_logger()

_CONSIDERED = 1000  # ids among which a suggestion is sought


class McpSource:
    """See `tools.sources.ToolSource`."""

    def __init__(self, db: Database, servers: Servers, calls: Calls) -> None:
        self._db = db
        self._servers = servers
        self._calls = calls

    async def open(self, references: Sequence[dict[str, Any]], user: RunUser) -> McpTools:
        """The approved tools of the servers that are named, those of a deleted one too: the model hears why they do not work."""
        async with self._db.connection() as connection:
            found = await self._servers.read(connection, [reference["name"] for reference in references])
        wanted = {reference["name"]: reference.get("tools") for reference in references}
        if missing := wanted.keys() - {server.id for server, _ in found}:
            log.warning("mcp.servers_missing", servers=sorted(missing), run_id=user.run_id)
        return McpTools([entry for pinned in found for entry in _entries(pinned, wanted[pinned.server.id])], self._calls, user)

    async def require(self, connection: Connection, references: Mapping[str, dict[str, Any]]) -> None:
        """Raises McpServerUnknown, also for a tool that the approved ones lack; before anything is approved its name cannot be judged."""
        names = [reference["name"] for reference in references.values()]
        there = await queries.hold_servers(connection, names) | self._servers.described.keys()
        known = await self._servers.known_ids(connection, _CONSIDERED) if set(names) - there else []
        errors = [
            FieldError(f"{place}/name", f"There is no MCP server {reference['name']}.{_suggested(reference['name'], known)}")
            for place, reference in references.items()
            if reference["name"] not in there
        ]
        errors = errors or await self._unknown_tools(connection, references)
        if errors:
            raise McpServerUnknown(errors[0].message, hint="GET /v2/mcp-servers and GET /v2/tools list them.", errors=tuple(errors))

    async def list_tools(self) -> list[SourceTool]:
        """Every approved tool of every active server."""
        async with self._db.connection() as connection:
            found = await self._servers.list_approved(connection)
        entries = [entry for pinned in found for entry in _entries(pinned, None)]
        return [SourceTool("mcp", entry.server.id, entry.tool.name, entry.spec) for entry in entries]

    async def _unknown_tools(self, connection: Connection, references: Mapping[str, dict[str, Any]]) -> list[FieldError]:
        found = await self._servers.read(connection, [reference["name"] for reference in references.values()])
        offered = {server.id: by_name(pin.tools) for server, pin in found if pin.tools is not None}
        return [
            FieldError(f"{place}/tools/{index}", f"No tool {name} of {server} is approved.{_suggested(name, list(offered[server]))}")
            for place, reference in references.items()
            if (server := reference["name"]) in offered
            for index, name in enumerate(reference.get("tools") or ())
            if name not in offered[server]
        ]


class _Entry(NamedTuple):
    server: Server
    tool: PinnedTool
    spec: ToolSpec


class McpTools:
    """The approved tools of some servers, for one turn."""

    def __init__(self, entries: Sequence[_Entry], calls: Calls, user: RunUser) -> None:
        self._entries = {entry.spec.name: entry for entry in entries}
        self._calls = calls
        self._user = user

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return tuple(entry.spec for entry in self._entries.values())

    def may_repeat(self, name: str) -> bool:
        """What the server said of the tool when it was approved."""
        tool = self._entries[name].tool
        return tool.read_only or tool.idempotent

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Call the tool at its server. Raises the Problem of a header that cannot be filled."""
        server, tool, _ = self._entries[call.name]
        if not server.is_active:
            return ToolOutcome(f"The call was not made: the MCP server {server.id} was deleted.", is_error=True)
        try:
            arguments = msgspec.json.decode(call.args or "{}", type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ToolOutcome("The arguments are not a JSON object.", is_error=True)
        return await self._calls.call(server, tool, arguments, self._user, called=call.name)


def _entries(pinned: PinnedServer, wanted: Sequence[str] | None) -> list[_Entry]:
    server, pin = pinned
    return [
        _Entry(server, tool, ToolSpec(model_name(server.id, tool.name), tool.description, tool.parameters))
        for tool in pin.tools or ()
        if wanted is None or tool.name in wanted
    ]


def _suggested(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""
