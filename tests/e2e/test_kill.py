"""`kill -9` of a gateway amid twenty streams, survived by a second replica or followed by a restart.

Rounds per test: 2, or what KILL_ROUNDS says (`KILL_ROUNDS=10 make test ARGS=tests/e2e`).
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import httpx
import pytest
from tests.e2e.calling import Caller, names, unique
from tests.e2e.conftest import Call, Start
from tests.e2e.following import Listener, Talker, assert_nothing_lost, assert_whole, wait_for_ends
from tests.e2e.gateways import GatewayProcess, admin_key
from tests.fakes.upstream import Upstream

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


async def kill_amid_streams(victim: GatewayProcess, caller: Caller, agent: str) -> tuple[list[Listener], list[Talker]]:
    """Kill the victim while twenty streams and three talks are under way."""
    listeners, talkers, stop = audience(agent), [Talker(agent) for _ in range(3)], asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.listen(caller))
        for talker in talkers:
            group.create_task(talker.talk(caller, stop))
        async with asyncio.timeout(20):
            while not (all(listener.seen for listener in listeners) and all(talker.acknowledged for talker in talkers)):
                await asyncio.sleep(0.01)
        await asyncio.sleep(random.uniform(0.05, 0.9))
        victim.kill()
        stop.set()
    assert not all(listener.has_ended for listener in listeners)
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


async def test_runs_of_a_killed_replica_are_finished_by_the_one_that_survives(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    victim, survivor = await asyncio.gather(start(dsn), start(dsn))
    agent = await call(survivor, key).agent(tools=[{"type": "builtin", "name": "current_time"}])
    for _ in range(ROUNDS):
        listeners, talkers = await kill_amid_streams(victim, call(victim, key), agent)
        replacement = asyncio.create_task(start(dsn))
        await assert_recovered(dsn, call(survivor, key), listeners, talkers)
        victim, survivor = survivor, await replacement


async def test_runs_of_a_killed_gateway_are_finished_after_its_restart(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    gateway = await start(dsn)
    agent = await call(gateway, key).agent(tools=[{"type": "builtin", "name": "current_time"}])
    for _ in range(max(1, ROUNDS // 2)):
        listeners, talkers = await kill_amid_streams(gateway, call(gateway, key), agent)
        gateway = await start(dsn)
        await assert_recovered(dsn, call(gateway, key), listeners, talkers)


async def test_a_run_that_was_cancelled_while_its_replica_was_dead_ends_cancelled_with_what_it_had_spent(
    dsn: str, tmp_path: Path, start: Start, call: Call
) -> None:
    key = await admin_key(dsn, tmp_path)
    victim, survivor = await asyncio.gather(start(dsn), start(dsn))
    caller = call(survivor, key)
    agent = await caller.agent(tools=[{"type": "builtin", "name": "current_time"}])
    listener = Listener(agent, "[[n=500 itl=20]] [[tool=current_time]]", "", calls=2)
    listening = asyncio.create_task(listener.listen(call(victim, key)))
    async with asyncio.timeout(20):
        while "message.delta" not in names(listener.seen):
            await asyncio.sleep(0.01)
    victim.kill()
    await listening
    assert (await caller.http.post(f"/v2/runs/{listener.run_id}/cancel")).is_success
    async with asyncio.timeout(RECOVERY):
        await listener.come_back(caller)
    assert names(listener.seen)[-3:] == ["message.reset", "usage.recorded", "run.cancelled"]
    reported, cut_off = [event.data for event in listener.seen if event.name == "usage.recorded"]
    assert (reported["is_estimated"], cut_off["is_estimated"]) == (False, True)
    run = await caller.get(f"/v2/runs/{listener.run_id}")
    assert (run["status"], run["model"]) == ("cancelled", "openai:gpt-4o")
    assert run["usage"]["total_tokens"] == reported["total_tokens"] + cut_off["total_tokens"]


async def test_a_key_for_a_turn_whose_gateway_died_gets_that_turn_from_another(
    dsn: str, tmp_path: Path, start: Start, call: Call, upstream: Upstream
) -> None:
    key = await admin_key(dsn, tmp_path)
    caller = call(await start(dsn), key)
    agent, message = await caller.agent(), "once [[n=60 itl=20]]"
    for body in ({}, {"stream": True}):
        victim, session, once = await start(dsn), unique("session"), {"idempotency-key": unique("key")}
        turn = asyncio.create_task(call(victim, key).try_chat(agent, message, session_id=session, headers=once, **body))
        async with asyncio.timeout(20):
            while not [entry for entry in upstream.ledger() if entry["stream"] is bool(body)]:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        victim.kill()
        with pytest.raises(httpx.TransportError):
            await turn
        async with asyncio.timeout(60):
            while (again := await caller.try_chat(agent, message, session_id=session, headers=once, **body)).status_code == 409:
                assert again.json()["code"] == "idempotency-in-progress"
        assert again.status_code == 200
        assert "".join(f"tok{i} " for i in range(60)) in again.text
        (run,) = (await caller.get("/v2/runs", session_id=session))["items"]
        assert run["status"] == "completed"
