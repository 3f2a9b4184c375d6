"""`kill -9` of a gateway amid twenty streams, survived by a second replica or followed by a restart.

Rounds per test: 2, or what KILL_ROUNDS says (`KILL_ROUNDS=10 make test ARGS=tests/e2e`).
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.e2e.calling import Caller
from tests.e2e.conftest import Start
from tests.e2e.following import Listener, Talker, assert_nothing_lost, assert_whole, wait_for_ends
from tests.e2e.gateways import GatewayProcess, admin_key

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
RECOVERY = 30  # seconds in which every run must have ended, beyond its own work

pytestmark = pytest.mark.timeout(60 + 40 * ROUNDS)


def audience(agent: str) -> list[Listener]:
    """Twenty streams of several kinds."""
    text = "".join(f"tok{i} " for i in range(60))
    plain = [Listener(agent, f"plain {number} [[n=60 itl=20]]", text) for number in range(12)]
    tools = [Listener(agent, f"tool {number} [[n=60 itl=20]] [[tool=current_time]]", text, calls=2) for number in range(6)]
    late = [Listener(agent, f"late {number} [[n=60 itl=5 ttft=600]]", text) for number in range(2)]
    return [*plain, *tools, *late]


async def kill_amid_streams(dsn: str, victim: GatewayProcess, key: str, agent: str) -> tuple[list[Listener], list[Talker]]:
    """Kill the victim while twenty streams and three talks are under way."""
    listeners, talkers, stop = audience(agent), [Talker(agent) for _ in range(3)], asyncio.Event()
    caller = Caller(victim.url, key)
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.listen(caller))
        for talker in talkers:
            group.create_task(talker.talk(caller, stop))
        async with asyncio.timeout(20):
            while not all(listener.seen for listener in listeners):
                await asyncio.sleep(0.01)
        await asyncio.sleep(random.uniform(0.05, 0.9))
        victim.kill()
        stop.set()
    await caller.aclose()
    assert not all(listener.has_ended for listener in listeners)
    assert any(talker.acknowledged for talker in talkers)
    return listeners, talkers


async def assert_recovered(dsn: str, caller: Caller, listeners: list[Listener], talkers: list[Talker]) -> None:
    async with asyncio.timeout(RECOVERY):
        await asyncio.gather(*(listener.come_back(caller) for listener in listeners))
    await wait_for_ends(caller, RECOVERY)
    for listener in listeners:
        await assert_whole(dsn, caller, listener)
    for talker in talkers:
        await assert_nothing_lost(caller, talker)
    # Each session goes on.
    turns = (caller.chat(listener.agent, "and now? [[n=1]]", session_id=listener.session) for listener in listeners)
    assert {answer["status"] for answer in await asyncio.gather(*turns)} == {"completed"}


async def test_runs_of_a_killed_replica_are_finished_by_the_one_that_survives(dsn: str, tmp_path: Path, start: Start) -> None:
    key = await admin_key(dsn, tmp_path)
    victim, survivor = await asyncio.gather(start(dsn), start(dsn))
    caller = Caller(survivor.url, key)
    agent = await caller.agent(tools=[{"type": "builtin", "name": "current_time"}])
    for _ in range(ROUNDS):
        listeners, talkers = await kill_amid_streams(dsn, victim, key, agent)
        replacement = asyncio.create_task(start(dsn))
        await assert_recovered(dsn, caller, listeners, talkers)
        await caller.aclose()
        victim, survivor = survivor, await replacement
        caller = Caller(survivor.url, key)
    await caller.aclose()


async def test_runs_of_a_killed_gateway_are_finished_after_its_restart(dsn: str, tmp_path: Path, start: Start) -> None:
    key = await admin_key(dsn, tmp_path)
    gateway = await start(dsn)
    caller = Caller(gateway.url, key)
    agent = await caller.agent(tools=[{"type": "builtin", "name": "current_time"}])
    for _ in range(max(1, ROUNDS // 2)):
        listeners, talkers = await kill_amid_streams(dsn, gateway, key, agent)
        await caller.aclose()
        gateway = await start(dsn)
        caller = Caller(gateway.url, key)
        await assert_recovered(dsn, caller, listeners, talkers)
    await caller.aclose()
