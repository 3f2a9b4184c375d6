"""Sessions with servers are shared by those who are the same to the server, bounded, and closed when nobody uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta

import pytest
from tests.tools.mcp_scene import Server as Running

from pointsman.kit.egress import Channels
from pointsman.settings import McpSettings
from pointsman.tools.mcp.connection import Connection
from pointsman.tools.mcp.errors import McpServerBusy
from pointsman.tools.mcp.http import Remote
from pointsman.tools.mcp.pool import Pool
from pointsman.tools.mcp.rows import Server

SETTINGS = McpSettings(connections=2, idle=timedelta(seconds=0.1))


@pytest.fixture
def server(usual_server: Running) -> Server:
    return Server("http", "example", "Example", None, usual_server.url, {}, 5, 5)


@pytest.fixture
async def pool() -> AsyncGenerator[Pool]:
    channels = Channels(["127.0.0.1"])

    def begin(server: Server, headers: Mapping[str, str]) -> Connection:
        return Connection(server.id, Remote(channels, server, headers, SETTINGS.answer_bytes), SETTINGS, within=5)

    pool = Pool(begin, SETTINGS)
    yield pool
    await pool.aclose()
    await channels.aclose()


async def test_a_session_is_shared_within_a_tenant_and_a_set_of_headers_and_no_further(pool: Pool, server: Server) -> None:
    async with pool.lent(server, "one", {"a": "b"}) as first, pool.lent(server, "one", {"a": "b"}) as second:
        assert first is second
        async with pool.lent(server, "two", {"a": "b"}) as other:
            assert other is not first
        async with pool.lent(server, "one", {"a": "c"}) as other:
            assert other is not first
        names = [tool.name for tool in await first.tools()]
        assert "add" in names


async def test_past_the_bound_an_idle_session_makes_room_and_one_in_use_does_not(pool: Pool, server: Server) -> None:
    async with pool.lent(server, "one", {}) as kept:
        async with pool.lent(server, "two", {}) as idle:
            with pytest.raises(McpServerBusy):
                async with pool.lent(server, "three", {}):
                    pass
        async with pool.lent(server, "three", {}) as third:
            assert (idle.is_over, third.is_over, kept.is_over) == (True, False, False)


async def test_what_nobody_uses_is_closed_and_what_is_in_use_is_not(pool: Pool, server: Server) -> None:
    async with pool.lent(server, "one", {}) as used:
        async with pool.lent(server, "two", {}) as idle:
            pass
        await asyncio.sleep(0.15)
        pool.close_idle()
        assert (used.is_over, idle.is_over) == (False, True)


async def test_a_session_that_is_begun_anew_leaves_the_calls_of_the_old_one_alone(pool: Pool, server: Server) -> None:
    async with pool.lent(server, "one", {}) as old:
        slow = asyncio.create_task(old.call("slow", {"seconds": 0.3}))
        await asyncio.sleep(0.1)
        async with pool.lent(server, "one", {}, anew=True) as new:
            assert new is not old
            assert old.is_over
        answer = await slow
        assert not answer.is_error  # pyright: ignore[reportAttributeAccessIssue] - it asks for nothing in return
