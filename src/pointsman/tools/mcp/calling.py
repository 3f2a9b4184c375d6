"""Calls a server's tool within its bounds: what is offered now is first held against what was approved."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from pointsman.credentials.using import RunUser
from pointsman.kit.db import Database
from pointsman.kit.problems import Problem
from pointsman.settings import McpSettings
from pointsman.tools.mcp.connection import SessionLost
from pointsman.tools.mcp.errors import McpServerTimeout
from pointsman.tools.mcp.pinning import see
from pointsman.tools.mcp.pool import Pool
from pointsman.tools.mcp.results import cut, outcome_of
from pointsman.tools.mcp.rows import PinnedTool, Server, Tools, by_name, without
from pointsman.tools.references import Filled, References
from pointsman.turns.ports import ToolOutcome

log = structlog.get_logger()

_LONGEST_ERROR = 2000  # bytes


class Calls:
    """Talks to servers on behalf of runs and of who inspects them."""

    def __init__(self, db: Database, pool: Pool, references: References, settings: McpSettings) -> None:
        self._db = db
        self._pool = pool
        self._references = references
        self._settings = settings

    async def look(self, server: Server, user: RunUser) -> Tools:
        """What the server offers now, asked in a new session. Raises the Problem of what prevents it."""
        filled = await self._references.fill(server.headers, user, tool=f"mcp:{server.id}")
        async with self._pool.lent(server, user.tenant_id, filled, anew=True) as connection:
            try:
                async with asyncio.timeout(server.connect_seconds + server.call_seconds):
                    return without(await connection.tools(), filled.scrub)
            except TimeoutError:
                connection.give_up()
                raise McpServerTimeout(f"The MCP server {server.id} did not say what it offers in time.") from None

    async def call(self, server: Server, tool: PinnedTool, arguments: dict[str, Any], user: RunUser, *, called: str) -> ToolOutcome:
        """Call a tool that was approved as `tool`; the model knows it as `called`. What goes wrong is an outcome too."""
        began = time.monotonic()
        filled = await self._references.fill(server.headers, user, tool=called)
        try:
            outcome = await self._made(server, tool, arguments, user, filled)
        except Problem as problem:
            outcome = ToolOutcome(cut(filled.scrub(problem.detail), _LONGEST_ERROR), is_error=True)
        took = round((time.monotonic() - began) * 1000)
        log.info("mcp.called", server=server.id, tool=tool.name, run_id=user.run_id, took_ms=took, is_error=outcome.is_error)
        return outcome

    async def _made(self, server: Server, tool: PinnedTool, arguments: dict[str, Any], user: RunUser, filled: Filled) -> ToolOutcome:
        try:
            async with asyncio.timeout(server.connect_seconds + server.call_seconds):
                try:
                    return await self._once(server, tool, arguments, user, filled)
                except SessionLost:  # which did nothing, so a second time is the first
                    return await self._once(server, tool, arguments, user, filled)
        except TimeoutError:
            return _too_late(server)

    async def _once(self, server: Server, tool: PinnedTool, arguments: dict[str, Any], user: RunUser, filled: Filled) -> ToolOutcome:
        async with self._pool.lent(server, user.tenant_id, filled) as connection:
            offered = without(await connection.tools(), filled.scrub)
            if by_name(offered).get(tool.name) != tool:
                return await self._refused(server, tool, offered)
            try:
                async with asyncio.timeout(server.call_seconds):
                    return outcome_of(await connection.call(tool.name, arguments), filled.scrub, most=self._settings.result_bytes)
            except TimeoutError:
                return _too_late(server)

    async def _refused(self, server: Server, tool: PinnedTool, offered: Tools) -> ToolOutcome:
        """Nobody approved what the tool is now: it is not called, and an operator is shown."""
        async with self._db.transaction() as connection:
            await see(connection, None, server, offered)
        gone = tool.name not in by_name(offered)
        what = "does not offer it any more" if gone else "describes it otherwise than when it was approved"
        return ToolOutcome(
            f"The call was not made: the server {server.id} {what}. An operator has to look at the server and approve its tools again.",
            is_error=True,
        )


def _too_late(server: Server) -> ToolOutcome:
    return ToolOutcome(
        f"The server {server.id} did not answer within {server.call_seconds:g} s. What it was asked may or may not have been done.",
        is_error=True,
    )
