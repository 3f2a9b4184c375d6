"""A gateway dies while tools are being called: what may have been done is not done again, what changes nothing is."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.calling import Caller
from tests.e2e.conftest import Start
from tests.e2e.gateways import admin_key
from tests.tools.conftest import Servers
from tests.tools.mcp_scene import agent_with, approved, call

from pointsman.tools.sent import UNKNOWN

ALLOWED = {"POINTSMAN_EGRESS__ALLOW": '["127.0.0.1"]'}


async def test_a_call_whose_answer_was_lost_is_made_again_only_if_that_does_no_harm(
    dsn: str, start: Start, servers: Servers, tmp_path: Path
) -> None:
    server = servers.start()
    key = await admin_key(dsn, tmp_path)
    first = await start(dsn, **ALLOWED)
    caller = Caller(first.url, key)
    server_id = await approved(caller, server.url)
    calls = [call(server_id, "slow", "c1", seconds=30), call(server_id, "slow_look", "c2", seconds=1.5)]
    agent = await agent_with(caller, server_id, calls)
    async with caller.stream(agent, "Please.") as reader:
        run_id = reader.run_id
        async with asyncio.timeout(20):
            while not {"slow began", "slow_look began"} <= set(server.done):
                await asyncio.sleep(0.05)
        first.kill()
    await caller.aclose()
    caller = Caller((await start(dsn, **ALLOWED)).url, key)
    async with asyncio.timeout(30):
        ended = await caller.ended(run_id)
    assert (ended["status"], ended["content"]) == ("completed", "Done.")
    told = {event.data["id"]: event.data for event in await caller.replay(run_id) if event.name == "tool.completed"}
    assert (told["c1"]["content"], told["c1"]["is_error"]) == (UNKNOWN, True)
    assert (told["c2"]["content"], told["c2"]["is_error"]) == ('{"result": "seen"}', False)
    done = [line for line in server.done if line.endswith("began")]
    assert sorted(done) == ["slow began", "slow_look began", "slow_look began"]
    await caller.aclose()
