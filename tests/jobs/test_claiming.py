"""Who gets an attempt: capacity exact under races, epochs that fence, the lost, the poisoned, the parked."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from tests.jobs.job_scene import Scene

from pointsman.jobs import claiming
from pointsman.jobs.claiming import MOST_LOSSES, find_waiting
from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.rows import Claimed, Gone, Parked
from pointsman.kit.db import Connection, Database

_WAITS = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"


async def test_a_job_is_claimed_run_and_done(scene: Scene) -> None:
    job = await scene.one()
    assert await scene.take() == [(job, 1)]
    attempt = await scene.begin(job)
    assert (attempt.epoch, attempt.handle, attempt.memory_mb) == (1, f"pm-{job}-1", 2048)
    row = await scene.job(job)
    assert (row["status"], row["timeout_at"] > row["started_at"]) == ("running", True)
    assert await scene.end(attempt, result='{"status": "completed"}', exit_code=0)
    row = await scene.job(job)
    assert (row["status"], row["result"], row["retry_count"]) == ("completed", '{"status": "completed"}', 0)
    assert await scene.attempts(job) == ["completed"]
    assert [(seq, kind) for seq, kind, _ in await scene.events(job)] == [(1, "job.queued"), (2, "job.started"), (3, "job.finished")]
    assert await scene.messages() == []


async def test_of_fifty_claims_at_once_three_slots_are_given_and_the_others_wait(scene: Scene) -> None:
    scene.slots = 3
    jobs = await scene.create(50)
    results = [outcome for (outcome,) in await asyncio.gather(*(scene.claim(job) for job in jobs))]
    assert sorted(type(outcome).__name__ for outcome in results) == ["Claimed"] * 3 + ["Parked"] * 47
    assert await scene.owner.fetchval("SELECT count(*) FROM job_attempts WHERE status = 'running'") == 3
    assert await scene.owner.fetchval("SELECT count(*) FROM job_details WHERE parked") == 47


async def test_the_slots_of_a_pool_bound_all_its_targets_together(scene: Scene) -> None:
    await scene.target("other")
    jobs = await scene.create(20)
    results = await asyncio.gather(
        *(scene.claim(job, target=("local", "other")[place % 2], slots=10, pool_slots=5) for place, job in enumerate(jobs))
    )
    assert sum(isinstance(outcome, Claimed) for (outcome,) in results) == 5


async def test_a_batch_serves_higher_priorities_first_then_older_ones(scene: Scene) -> None:
    scene.slots = 2
    usual, older, urgent = await scene.one(), await scene.one(), await scene.one(priority=9)
    outcomes = await scene.claim(older, urgent, usual)
    assert [type(outcome) for outcome in outcomes] == [Parked, Claimed, Claimed]


async def test_a_claim_of_a_running_job_fences_whoever_had_it(scene: Scene) -> None:
    first = await scene.begun()
    second = await scene.begin(first.job_id, worker="w2")
    assert (second.epoch, second.lost is not None and second.lost.handle) == (2, first.handle)
    assert not await scene.end(first, result='{"from": "the dead"}')
    assert (await scene.job(first.job_id))["result"] is None
    assert await scene.end(second, result="{}")
    assert await scene.attempts(first.job_id) == ["lost", "completed"]
    assert (await scene.job(first.job_id))["retry_count"] == 0


@pytest.mark.parametrize("begun", [0, 1])
async def test_of_two_claims_of_one_job_at_once_the_later_comes_too_late(scene: Scene, db: Database, begun: int) -> None:
    job = await scene.one()
    for _ in range(begun):
        await scene.begin(job)
    async with db.transaction() as connection:
        (first,) = await claiming.claim(connection, [scene.wish(job, worker="w2")])
        late = asyncio.create_task(scene.claim(job, worker="w3"))
        while not await scene.owner.fetchval(_WAITS):
            await asyncio.sleep(0.01)
    assert isinstance(first, Claimed)
    assert await late == [Gone(job)]
    assert await scene.attempts(job) == ["lost"] * begun + ["running"]
    assert await scene.end(first)


async def test_an_end_that_was_committed_is_true_when_it_is_repeated(scene: Scene) -> None:
    attempt = await scene.begun()
    assert await scene.end(attempt)
    assert await scene.end(attempt)
    assert len(await scene.events(attempt.job_id)) == 3


async def test_a_lost_attempt_gives_its_slot_to_the_next_one_of_the_same_job(scene: Scene) -> None:
    scene.slots = 1
    first = await scene.begun()
    assert (await scene.begin(first.job_id)).epoch == 2


async def test_a_job_with_which_twenty_workers_died_is_failed(scene: Scene) -> None:
    job = await scene.one()
    for _ in range(MOST_LOSSES):
        await scene.begin(job)
    assert await scene.claim(job) == [Gone(job)]
    row = await scene.job(job)
    assert (row["status"], row["last_failure_reason"]) == ("failed", "lost: 20 workers died with this job")
    assert await scene.attempts(job) == ["lost"] * MOST_LOSSES
    assert (await scene.events(job))[-1][1] == "job.finished"


async def test_a_message_that_a_later_one_replaced_has_nothing_to_do(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.end(attempt, "broke", reason="target: gone")
    await scene.owner.execute("UPDATE job_details SET not_before = NULL")
    assert await scene.claim(attempt.job_id, message=1) == [Gone(attempt.job_id)]
    assert isinstance((await scene.claim(attempt.job_id, message=2))[0], Claimed)


async def test_a_job_that_waits_for_its_time_is_not_claimed(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.end(attempt, "broke", reason="target: gone")
    assert await scene.claim(attempt.job_id) == [Gone(attempt.job_id)]


async def test_an_ended_or_unknown_job_is_gone(scene: Scene) -> None:
    attempt = await scene.begun()
    await scene.end(attempt)
    nobody = uuid.uuid4()
    assert await scene.claim(attempt.job_id, nobody) == [Gone(attempt.job_id), Gone(nobody)]


async def test_what_is_chosen_by_is_known_before_the_claim(scene: Scene, db: Database) -> None:
    waiting, running, ended = await scene.create(3, tenant="acme")
    attempt = await scene.begin(running)
    await scene.end(await scene.begin(ended))
    async with db.connection() as connection:
        found = {job.id: job for job in await find_waiting(connection, [waiting, running, ended])}
    assert set(found) == {waiting, running}
    assert (found[waiting].status, found[waiting].tenant_id, found[waiting].lost_on) == ("queued", "acme", None)
    assert (found[running].lost_on, found[running].lost_handle) == ("local", attempt.handle)


async def test_nothing_is_enqueued_outside_of_a_transaction(db: Database, owner: Connection) -> None:
    async with db.connection() as connection:
        with pytest.raises(AssertionError):
            await enqueue(connection, [Message("job", "x", "p")])
    assert await owner.fetchval("SELECT count(*) FROM queue.pgqueuer") == 0
