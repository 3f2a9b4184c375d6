"""What follows from how an attempt ended: retries with back-off, more memory, a person's turn, and whom the slot goes to."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.jobs.job_scene import Scene

from pointsman.jobs.finishing import back_off, decide
from pointsman.jobs.parking import wake_missed
from pointsman.jobs.queries import request_cancel
from pointsman.jobs.rows import Claimed, Ending, Finish
from pointsman.jobs.service import deny, wake
from pointsman.jobs.states import EDGES

EVIDENCE = '{"source": "cgroup.oom_kill", "detail": "1"}'


async def hurry(scene: Scene) -> None:
    await scene.owner.execute("UPDATE job_details SET not_before = NULL")


async def test_a_failure_of_ours_is_tried_again_later_each_time_until_no_attempt_is_left(scene: Scene) -> None:
    job = await scene.one(max_attempts=3)
    for number in (1, 2):
        await scene.end(await scene.begin(job), "broke", reason="target: gone")
        row = await scene.job(job)
        assert (row["status"], row["retry_count"], row["last_failure_reason"]) == ("queued", number, "target: gone")
        delay = await scene.owner.fetchval("SELECT extract(epoch FROM execute_after - created)::int FROM queue.pgqueuer ORDER BY id DESC")
        assert delay == 2 ** (number - 1) == back_off(number - 1).total_seconds()
        await hurry(scene)
    await scene.end(await scene.begin(job), "broke", reason="target: gone")
    row = await scene.job(job)
    assert (row["status"], row["retry_count"], row["completed_at"] is not None) == ("failed", 2, True)
    assert await scene.attempts(job) == ["failed"] * 3


def test_the_pause_grows_and_has_an_end() -> None:
    pauses = [back_off(failures).total_seconds() for failures in range(20)]
    assert all(one <= other for one, other in itertools.pairwise(pauses))
    assert pauses[-1] == 60


async def test_what_failed_by_its_own_doing_is_not_tried_again(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.end(attempt, "failed", reason="exit 3", exit_code=3, result='{"status": "failed", "exit_code": 3}')
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["last_failure_reason"], row["retry_count"]) == ("failed", "exit 3", 0)
    assert await scene.owner.fetchval("SELECT exit_code FROM job_attempts") == 3


async def test_memory_doubles_to_the_targets_cap_and_then_the_job_is_out_of_memory(scene: Scene) -> None:
    scene.cap_mb = 400
    job = await scene.one(memory_mb=128, max_attempts=5)
    for size in (128, 256, 400):
        attempt = await scene.begin(job)
        assert attempt.memory_mb == size
        await scene.end(attempt, "ran_out", evidence=EVIDENCE, peak_memory_mb=size, reason="oom: cgroup.oom_kill")
    row = await scene.job(job)
    assert (row["status"], row["retry_count"], row["memory_limit_mb"]) == ("oom", 2, 400)
    rows = await scene.owner.fetch("SELECT status, memory_limit_mb, peak_memory_mb, evidence::text FROM job_attempts ORDER BY epoch")
    assert [tuple(row) for row in rows] == [("oom", size, size, EVIDENCE) for size in (128, 256, 400)]  # pyright: ignore[reportArgumentType] - a record is its values


async def test_between_attempts_the_job_is_queued_and_oom_only_when_none_is_left(scene: Scene) -> None:
    job = await scene.one(memory_mb=128, max_attempts=2)
    await scene.end(await scene.begin(job), "ran_out", evidence=EVIDENCE)
    assert (await scene.job(job))["status"] == "queued"
    await scene.end(await scene.begin(job), "ran_out", evidence=EVIDENCE)
    assert (await scene.job(job))["status"] == "oom"


async def test_what_is_handed_over_is_queued_at_once_and_counts_for_nothing(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.take()
    await scene.end(attempt, "handed_over", reason="lost: handed over")
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["failures"], row["losses"], row["retry_count"], row["timeout_at"]) == ("queued", 0, 0, 0, None)
    assert await scene.take() == [(attempt.job_id, 2)]
    assert (await scene.begin(attempt.job_id)).epoch == 2


async def test_who_asks_a_person_keeps_its_time_and_goes_on_from_its_checkpoint(scene: Scene) -> None:
    attempt = await scene.begun(timeout_seconds=50)
    await scene.take()
    await scene.end(attempt, "asks", checkpoint='{"step": 4}', workspace=b"tar")
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["timeout_at"]) == ("awaiting_approval", None)
    assert 45 < row["remaining_seconds"] <= 50
    assert await scene.messages() == []
    assert await scene.attempts(attempt.job_id) == ["paused"]
    async with scene.db.transaction() as connection:
        assert await wake(connection, attempt.job_id)
        assert not await wake(connection, attempt.job_id)
    assert await scene.take() == [(attempt.job_id, 2)]
    goes_on = await scene.begin(attempt.job_id)
    assert (goes_on.checkpoint, goes_on.seconds) == ('{"step": 4}', row["remaining_seconds"])
    assert await scene.owner.fetchval("SELECT data FROM job_workspaces WHERE kind = 'checkpoint'") == b"tar"


async def test_a_denial_ends_the_job(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.end(attempt, "asks")
    async with scene.db.transaction() as connection:
        assert await deny(connection, attempt.job_id, "denied: too risky")
        assert not await deny(connection, attempt.job_id, "denied: again")
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["last_failure_reason"]) == ("failed", "denied: too risky")
    _, kind, said = (await scene.events(attempt.job_id))[-1]
    assert (kind, said["status"], said["reason"]) == ("job.finished", "failed", "denied: too risky")


async def test_an_open_circuit_says_when_it_may_be_tried_again(scene: Scene) -> None:
    attempt = await scene.begun()
    later = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    await scene.end(attempt, "circuit_open", reason="circuit: the model fails", retry_at=later)
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["retry_at"]) == ("failed_circuit_open", later)


async def test_a_freed_slot_goes_to_the_highest_priority_then_the_oldest(scene: Scene) -> None:
    scene.slots = 1
    running = await scene.begun()
    usual = await scene.create(2)
    await scene.claim(*usual)
    urgent = await scene.one(priority=8)
    await scene.take()
    order: list[Any] = []
    attempt = running
    for _ in range(3):
        await scene.end(attempt)
        ((job, number),) = await scene.take()
        order.append(job)
        attempt = await scene.begin(job, message=number)
    assert order == [urgent, *usual]


async def test_two_releases_at_once_wake_exactly_as_many(scene: Scene) -> None:
    scene.slots = 2
    first, second = [await scene.begun() for _ in range(2)]
    waiting = await scene.create(10)
    await scene.claim(*waiting)
    await scene.take()
    await asyncio.gather(scene.end(first), scene.end(second))
    assert len(await scene.take()) == 2
    assert await scene.owner.fetchval("SELECT count(*) FROM job_details WHERE parked") == 8


async def test_who_comes_while_others_wait_stands_behind_them(scene: Scene) -> None:
    scene.slots = 1
    await scene.begun()
    await scene.claim(await scene.one())
    await scene.take()
    later = await scene.one()
    assert await scene.messages() == []
    assert (await scene.job(later))["parked"]


async def test_who_could_go_anywhere_is_woken_by_any_target_of_its_pool(scene: Scene) -> None:
    await scene.target("other")
    scene.slots = 1
    await scene.begun()
    elsewhere = await scene.begin(await scene.one(), target="other")
    anywhere, bound = await scene.one(), await scene.one(target_id="local")
    await scene.claim(bound, anywhere)
    await scene.take()
    await scene.end(elsewhere)
    assert [job for job, _ in await scene.take()] == [anywhere]


async def test_who_was_missed_is_woken_by_the_sweep(scene: Scene) -> None:
    scene.slots = 2
    await scene.begun()
    await scene.claim(*await scene.create(3), slots=1)
    await scene.owner.execute("UPDATE job_details SET parked_limit = 2 WHERE parked")
    await scene.take()
    async with scene.db.transaction() as connection:
        assert await wake_missed(connection) == 1
    assert len(await scene.take()) == 1


@pytest.mark.parametrize("ending", ["done", "failed", "ran_out", "broke", "asks", "handed_over", "circuit_open"])
@pytest.mark.parametrize("failures", [0, 2])
async def test_whatever_an_end_comes_to_may_follow_running(scene: Scene, ending: Ending, failures: int) -> None:
    attempt = await scene.begun()
    one = Claimed(**{name: getattr(attempt, name) for name in Claimed.__slots__ if name != "failures"}, failures=failures)
    assert decide(Finish(one, ending)).job in EDGES["running"]


async def test_many_ends_in_one_transaction_are_each_their_own(scene: Scene) -> None:
    attempts = [await scene.begin(job) for job in await scene.create(4)]
    gone = await scene.begin(attempts[3].job_id)
    endings: Sequence[Finish] = [
        Finish(attempts[0], "done"),
        Finish(attempts[1], "broke", reason="target: gone"),
        Finish(attempts[2], "failed", reason="exit 1"),
        Finish(attempts[3], "done"),
    ]
    assert await scene.finish(*endings) == [True, True, True, False]
    assert [(await scene.job(one.attempt.job_id))["status"] for one in endings] == ["completed", "queued", "failed", "running"]
    assert await scene.end(gone)


async def test_whatever_a_program_printed_is_kept_as_text(scene: Scene) -> None:
    attempt = await scene.begun()
    result = json.dumps({"output": "a\x00b \ud83d c \U0001f600", "commands": [{"argv": ["\udcff"]}]})
    await scene.end(attempt, "failed", reason="exit 1: a\x00b \udcff", result=result)
    row = await scene.job(attempt.job_id)
    assert row["last_failure_reason"] == "exit 1: a\ufffdb \ufffd"
    assert json.loads(row["result"]) == {"output": "a\ufffdb \ufffd c \U0001f600", "commands": [{"argv": ["\ufffd"]}]}


@pytest.mark.parametrize("ending", ["asks", "broke", "handed_over", "ran_out"])
async def test_what_was_to_be_cancelled_while_it_ran_goes_no_further(scene: Scene, ending: Ending) -> None:
    attempt = await scene.begun(memory_mb=64)
    async with scene.db.connection() as connection:
        assert await request_cancel(connection, attempt.job_id)
    await scene.end(attempt, ending)
    row = await scene.job(attempt.job_id)
    assert (row["status"], row["last_failure_reason"]) == ("failed", "cancelled: somebody asked for it")
    assert (await scene.events(attempt.job_id))[-1][1] == "job.finished"
