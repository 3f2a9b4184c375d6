"""The open sessions of a process: one for each server, tenant and set of headers, closed when nobody has called for a while."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from pointsman.settings import McpSettings
from pointsman.tools.mcp.connection import Connection
from pointsman.tools.mcp.errors import McpServerBusy
from pointsman.tools.mcp.rows import Server

_LOOK = 1.0

Open = Callable[[Server, Mapping[str, str]], Connection]


class _Key(NamedTuple):
    """Whose session it is. Headers are there as a hash: the key may be looked at, a credential not."""

    type: str
    server_id: str
    version: str
    tenant: str
    headers: str


class Pool:
    """Lends sessions. What one tenant or user says to a server is in no session of another's, unless they are the same to the server."""

    def __init__(self, open_: Open, settings: McpSettings) -> None:
        """Make one; `open_` begins a session."""
        self._open = open_
        self._settings = settings
        self._held: dict[_Key, Connection] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lent(self, server: Server, tenant: str, headers: Mapping[str, str], *, anew: bool = False) -> AsyncGenerator[Connection]:
        """A session of the server as it is described now, which several may use at once. Raises McpServerBusy.

        With `anew` it is a new one: the server is met as it is by now, its program started again.
        """
        key = _key(server, tenant, headers)
        if anew:
            self._drop(key)
        connection = self._held.get(key)
        if connection is None or connection.is_over:
            self._drop(key)
            self._make_room(server)
            connection = self._held[key] = self._open(server, headers)
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            connection.used_at = time.monotonic()
            if connection.is_over and not connection.users:
                self._let_go(connection)

    async def run(self) -> None:
        """Close sessions that nobody uses, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            self.close_idle()

    def close_idle(self) -> None:
        """Close those that were not used for as long as the settings say, and those that are over."""
        until = time.monotonic() - self._settings.idle.total_seconds()
        for key, connection in list(self._held.items()):
            if not connection.users and (connection.is_over or connection.used_at < until):
                self._drop(key)

    async def aclose(self) -> None:
        """End all of them, and the programs behind them."""
        for key in list(self._held):
            self._let_go(self._held.pop(key))
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _make_room(self, server: Server) -> None:
        """Where as many are open as may be, the one that was idle for longest goes. Raises McpServerBusy where none is idle."""
        most = self._settings.processes if server.type == "stdio" else self._settings.connections
        same = {key: held for key, held in self._held.items() if key.type == server.type}
        if len(same) < most:
            return
        idle = [key for key, held in same.items() if not held.users]
        if not idle:
            raise McpServerBusy(f"{len(same)} sessions with MCP servers are in use, as many as may be.", retry_after=1)
        self._drop(min(idle, key=lambda key: self._held[key].used_at))

    def _drop(self, key: _Key) -> None:
        connection = self._held.pop(key, None)
        if connection is None:
            return
        connection.give_up()
        if not connection.users:  # else whoever uses it last lets it go
            self._let_go(connection)

    def _let_go(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _key(server: Server, tenant: str, headers: Mapping[str, str]) -> _Key:
    digest = hashlib.sha256()
    for name, value in sorted(headers.items()):
        digest.update(f"{name}\n{value}\n".encode())
    return _Key(server.type, server.id, str(server.updated_at), tenant, digest.hexdigest())
