"""SIGTERM: not ready at once, streams end resumable by id, and what does not finish in time is finished by another replica."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import httpx
from tests.e2e.calling import Caller
from tests.e2e.conftest import Call, Start
from tests.e2e.following import Listener, assert_whole, wait_for_ends
from tests.e2e.gateways import GatewayProcess, admin_key


def audience(agent: str) -> list[Listener]:
    return [Listener(agent, f"drain {number} [[n=200 itl=20]]", "".join(f"tok{i} " for i in range(200))) for number in range(12)]


async def begin(group: asyncio.TaskGroup, caller: Caller, listeners: list[Listener]) -> None:
    """Twelve streams of four seconds, all under way."""
    for listener in listeners:
        group.create_task(listener.listen(caller))
    async with asyncio.timeout(20):
        while not all(len(listener.seen) > 5 for listener in listeners):
            await asyncio.sleep(0.01)


async def unready_within(gateway: GatewayProcess, seconds: float) -> None:
    async with asyncio.timeout(seconds), httpx.AsyncClient(base_url=gateway.url, trust_env=False) as client:
        with suppress(httpx.TransportError):
            while (await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.02)


async def test_a_drained_replica_hands_its_runs_to_another(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    leaving, staying = await asyncio.gather(start(dsn, POINTSMAN_DRAIN_SECONDS="4"), start(dsn))
    caller, other = call(leaving, key), call(staying, key)
    agent = await other.agent()
    listeners = audience(agent)
    waiting = [Listener(agent, f"json {number} [[n=4 ttft=3500]]", "tok0 tok1 tok2 tok3 ") for number in range(3)]
    answers: list[httpx.Response | None] = []

    async def wait(listener: Listener) -> None:
        try:
            answers.append(await caller.try_chat(agent, listener.message, session_id=listener.session))
        except httpx.TransportError:
            answers.append(None)

    async with asyncio.TaskGroup() as group:
        for listener in waiting:
            group.create_task(wait(listener))
        await begin(group, caller, listeners)
        leaving.terminate()
        await unready_within(leaving, 2)
    assert await leaving.ended(within=10) == 0, leaving.log.read_text()
    assert not any(listener.has_ended for listener in listeners)
    # Whoever waited was answered or told to come back; never was half an answer given.
    assert all(answer is None or answer.status_code in {200, 503} for answer in answers), answers

    async with asyncio.timeout(30):
        await asyncio.gather(*(listener.come_back(other) for listener in [*listeners, *waiting]))
    for listener in [*listeners, *waiting]:
        await assert_whole(dsn, other, listener)
    for listener in listeners:
        stored = {event.id: event.raw for event in await other.replay(listener.run_id)}
        assert all(stored[event.id] == event.raw for event in listener.seen), "who leaves in order loses no event"


async def test_short_turns_are_finished_by_the_replica_that_drains(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    leaving = await start(dsn, POINTSMAN_DRAIN_SECONDS="15")
    caller = call(leaving, key)
    agent = await caller.agent()
    turns = [asyncio.create_task(caller.try_chat(agent, f"short {number} [[n=3 ttft=1500]]")) for number in range(5)]
    await asyncio.sleep(0.7)
    leaving.terminate()
    answers = await asyncio.gather(*turns)
    assert [answer.status_code for answer in answers] == [200] * 5
    assert await leaving.ended(within=15) == 0


async def test_runs_left_by_the_only_replica_are_finished_by_the_next_start(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    leaving = await start(dsn, POINTSMAN_DRAIN_SECONDS="2")
    caller = call(leaving, key)
    agent = await caller.agent()
    listeners = audience(agent)[:5]
    async with asyncio.TaskGroup() as group:
        await begin(group, caller, listeners)
        leaving.terminate()
    assert await leaving.ended(within=10) == 0
    next_one = await start(dsn)
    caller = call(next_one, key)
    async with asyncio.timeout(30):
        await asyncio.gather(*(listener.come_back(caller) for listener in listeners))
    await wait_for_ends(caller, 5)
    for listener in listeners:
        await assert_whole(dsn, caller, listener)
