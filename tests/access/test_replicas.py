"""The guarantees that several processes keep together: G13, and a revocation within a second."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from itertools import chain

import pytest
from tests.access.access_replicas import StartReplica
from tests.access.access_scene import Desk, window_of

from pointsman.kit.db import Connection


async def test_of_500_parallel_calls_on_three_replicas_exactly_100_pass(desk: Desk, replica: StartReplica, owner: Connection) -> None:
    issued = await desk.issue(rate_limit=100)
    doors = await asyncio.gather(*(replica() for _ in range(3)))
    await asyncio.gather(
        *(door.order("call", key=issued.api_key, times=times, within=0) for door, times in zip(doors, (167, 167, 166), strict=True))
    )
    answers = [await door.answers() for door in doors]
    assert Counter(chain.from_iterable(answers)) == {"passed": 100, "rate-limited": 400}
    assert await window_of(owner, issued.stored.key.id) == 100


async def test_the_same_when_the_calls_trickle_in(desk: Desk, replica: StartReplica, owner: Connection) -> None:
    issued = await desk.issue(rate_limit=100)
    doors = await asyncio.gather(*(replica() for _ in range(3)))
    await asyncio.gather(*(door.order("call", key=issued.api_key, times=167, within=0.3) for door in doors))
    answers = [await door.answers() for door in doors]
    assert Counter(chain.from_iterable(answers)) == {"passed": 100, "rate-limited": 401}
    assert await window_of(owner, issued.stored.key.id) == 100


@pytest.mark.parametrize("killed_after", [1, 10, 25])
async def test_never_one_over_when_a_replica_is_killed(desk: Desk, replica: StartReplica, owner: Connection, killed_after: int) -> None:
    issued = await desk.issue(rate_limit=100)
    victim, *others = await asyncio.gather(*(replica() for _ in range(3)))
    await asyncio.gather(*(door.order("call", key=issued.api_key, times=167, within=0.5) for door in (victim, *others)))
    heard = [await victim.answer() for _ in range(killed_after)]
    await victim.kill()
    answers = Counter([*heard, *await victim.answers()])
    for door in others:
        answers.update(await door.answers())
    # The dead one can have counted what it no longer let in; never the other way round.
    assert answers["passed"] <= 100
    assert await window_of(owner, issued.stored.key.id) == 100
    survivor = others[0]
    await survivor.order("call", key=issued.api_key, times=5, within=0)
    assert Counter(await survivor.answers()) == {"rate-limited": 5}


@pytest.mark.parametrize("deaf", [False, True], ids=["with notifications", "without"])
async def test_a_revoked_key_is_refused_in_another_process_within_a_second(desk: Desk, replica: StartReplica, deaf: bool) -> None:
    issued = await desk.issue()
    door = await replica(deaf=deaf)
    await door.order("watch", key=issued.api_key)
    assert await door.answer() == "accepted"
    await asyncio.sleep(0.3)  # it has looked the key up, and remembers it
    await desk.keys.delete(desk.principal, issued.stored.key.id)
    revoked_at = time.monotonic()
    refused_at = await door.answer()
    assert refused_at - revoked_at < 1


async def test_a_listener_that_was_cut_off_does_not_delay_a_revocation(desk: Desk, replica: StartReplica, owner: Connection) -> None:
    issued = await desk.issue()
    door = await replica()
    await door.order("watch", key=issued.api_key)
    assert await door.answer() == "accepted"
    await asyncio.sleep(0.3)
    listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    await owner.execute(listening)
    await desk.keys.delete(desk.principal, issued.stored.key.id)
    revoked_at = time.monotonic()
    assert await door.answer() - revoked_at < 1


async def test_a_rotated_key_works_everywhere_until_its_overlap_ends(desk: Desk, replica: StartReplica) -> None:
    issued = await desk.issue()
    door = await replica()
    rotated = await desk.keys.rotate(desk.principal, issued.stored.key.id, timedelta(seconds=1.5))
    for api_key in (issued.api_key, rotated.api_key):
        await door.order("call", key=api_key, times=1, within=0)
        assert await door.answers() == ["passed"]
    await door.order("watch", key=issued.api_key)
    assert await door.answer() == "accepted"
    assert await door.answer()  # refused at last
    assert await door.answer() == "done"
    for api_key, answer in ((issued.api_key, "key-expired"), (rotated.api_key, "passed")):
        await door.order("call", key=api_key, times=1, within=0)
        assert await door.answers() == [answer]
