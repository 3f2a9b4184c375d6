"""Wires MCP servers: what is known of them, and the sessions through which agents call their tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pointsman.kit.egress import Channels
from pointsman.settings import Settings
from pointsman.tools.mcp.calling import Calls
from pointsman.tools.mcp.connection import Connection
from pointsman.tools.mcp.http import Remote
from pointsman.tools.mcp.pool import Pool
from pointsman.tools.mcp.rows import Server
from pointsman.tools.mcp.servers import Servers
from pointsman.tools.mcp.service import McpServerService
from pointsman.tools.mcp.source import McpSource
from pointsman.tools.mcp.stdio import Programs
from pointsman.tools.mcp.wire import Carrier
from pointsman.tools.references import References

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway

_PER_SESSION = 4  # requests that a session has under way: it listens, it is called several times at once


class McpSessions:
    """Begins sessions with servers and ends them; `pool` lends them."""

    def __init__(self, settings: Settings) -> None:
        mcp = settings.mcp
        self._settings = mcp
        self._channels = Channels(settings.egress.allow, connections=_PER_SESSION * mcp.connections)
        self._programs = Programs(settings.data_dir / "mcp", mcp.answer_bytes)
        self.pool = Pool(self._open, mcp)

    async def aclose(self) -> None:
        """End all sessions and the programs behind them."""
        await self.pool.aclose()
        await self._programs.aclose()
        await self._channels.aclose()

    def _open(self, server: Server, headers: Mapping[str, str]) -> Connection:
        carrier: Carrier
        if server.type == "stdio":
            carrier = self._programs.running(server.id, self._settings.stdio[server.id])
        else:
            carrier = Remote(self._channels, server, headers, self._settings.answer_bytes)
        return Connection(server.id, carrier, self._settings, within=server.connect_seconds)


def provide_mcp(gateway: Gateway) -> McpSessions:
    """Give the gateway the verbs of MCP servers and their tools to agents; what is returned is to be closed."""
    sessions = McpSessions(gateway.settings)
    references = gateway.services[References]
    assert isinstance(references, References)
    servers = Servers(gateway.settings.mcp.stdio)
    calls = Calls(gateway.db, sessions.pool, references, gateway.settings.mcp)
    gateway.tool_sources["mcp"] = McpSource(gateway.db, servers, calls)
    gateway.provide(McpServerService(gateway.db, servers, calls, references, gateway.egress))
    gateway.loops.add("mcp.idle", sessions.pool.run)
    return sessions
