"""The servers that there are: those that somebody registered, and those that the operator's settings describe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pointsman.kit.db import Connection
from pointsman.settings import StdioServerSettings
from pointsman.tools.mcp import queries
from pointsman.tools.mcp.errors import McpServerNotFound
from pointsman.tools.mcp.rows import Pin, PinnedServer, Server


class Servers:
    """Finds servers by id. Where both have an id, the settings' has it: nobody takes the place of an operator's command."""

    def __init__(self, stdio: Mapping[str, StdioServerSettings]) -> None:
        self.described = {server_id: _described(server_id, settings) for server_id, settings in stdio.items()}

    async def find(self, connection: Connection, server_id: str) -> Server | None:
        """An active server."""
        return self.described.get(server_id) or await queries.find_server(connection, server_id)

    async def require(self, connection: Connection, server_id: str) -> Server:
        """An active server. Raises McpServerNotFound."""
        server = await self.find(connection, server_id)
        if server is None:
            raise not_found(server_id)
        return server

    async def read(self, connection: Connection, server_ids: Sequence[str]) -> list[PinnedServer]:
        """Those that there are or were, with what is pinned of them, in the order of the ids."""
        kept = await queries.read_servers(connection, server_ids)
        found = [self.described.get(server_id) or kept.get(server_id) for server_id in server_ids]
        return await pinned(connection, [server for server in found if server is not None])

    async def list_approved(self, connection: Connection) -> list[PinnedServer]:
        """The active servers of which something is approved, by id."""
        pins = await queries.list_approved(connection)
        kept = await queries.read_servers(connection, [server_id for kind, server_id in pins if kind == "http"])
        there = [*self.described.values(), *(server for server in kept.values() if server.id not in self.described)]
        return sorted(
            (PinnedServer(server, pins[server.type, server.id]) for server in there if (server.type, server.id) in pins),
            key=lambda pinned: pinned.server.id,
        )

    async def known_ids(self, connection: Connection, most: int) -> list[str]:
        """Ids among which a suggestion is sought."""
        return [*self.described, *await queries.list_ids(connection, most)]


async def pinned(connection: Connection, servers: Iterable[Server]) -> list[PinnedServer]:
    """Servers with what is pinned of each."""
    servers = list(servers)
    pins = await queries.read_pins(connection, [(server.type, server.id) for server in servers])
    return [PinnedServer(server, pins[server.type, server.id]) for server in servers]


async def pin_of(connection: Connection, server: Server) -> Pin:
    """What is pinned of one."""
    key = server.type, server.id
    return (await queries.read_pins(connection, [key]))[key]


def not_found(server_id: str) -> McpServerNotFound:
    """The problem for an id that is unknown or deleted."""
    return McpServerNotFound(f"There is no active MCP server {server_id}.", hint="GET /v2/mcp-servers lists them.")


def _described(server_id: str, settings: StdioServerSettings) -> Server:
    return Server(
        type="stdio",
        id=server_id,
        name=server_id,
        description=settings.description,
        url=None,
        headers={},
        connect_seconds=settings.connect_seconds,
        call_seconds=settings.call_seconds,
    )
