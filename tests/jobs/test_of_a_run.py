"""Jobs of a supervised run: its stream tells of them, and the last one that ends tells its supervisor."""

from __future__ import annotations

import asyncio

from tests.jobs.job_scene import Scene
from tests.sessions.session_scene import talking

from pointsman.jobs.ending import end
from pointsman.runs.queries import list_events


async def run_of(scene: Scene) -> str:
    async with talking(scene.db) as talk:
        run = await talk.open("s")
    await scene.owner.execute("UPDATE runs SET kind = 'supervised', replica = NULL, reserved_seq = 1")
    return run


async def supervised(scene: Scene) -> list[str]:
    return [message.id for message in await scene.messages() if message.kind == "supervise"]


async def test_the_runs_stream_tells_of_its_jobs(scene: Scene) -> None:
    run = await run_of(scene)
    attempt = await scene.begun(run_id=run)
    await scene.end(attempt)
    async with scene.db.connection() as connection:
        told = await list_events(connection, run, 1)
    assert [(event.seq, event.type) for event in told] == [(2, "job.queued"), (3, "job.started"), (4, "job.finished")]
    assert all(str(attempt.job_id).encode() in event.data and run.encode() in event.data for event in told)


async def test_of_jobs_that_end_at_once_the_last_one_tells_the_supervisor_and_no_other(scene: Scene) -> None:
    run = await run_of(scene)
    attempts = [await scene.begin(job) for job in await scene.create(6, run_id=run)]
    await scene.take()
    await asyncio.gather(*(scene.end(attempt) for attempt in attempts))
    assert await supervised(scene) == [run]


async def test_a_job_that_is_tried_again_is_no_end(scene: Scene) -> None:
    run = await run_of(scene)
    attempt = await scene.begun(run_id=run)
    await scene.end(attempt, "broke", reason="target: gone")
    assert await supervised(scene) == []


async def test_a_job_that_ends_without_an_attempt_tells_too(scene: Scene) -> None:
    run = await run_of(scene)
    first, second = await scene.create(2, run_id=run)
    for number, job in enumerate((first, second)):
        async with scene.db.transaction() as connection:
            assert await end(connection, job, before="queued", after="failed", reason="cancelled: somebody asked for it")
        assert await supervised(scene) == [run] * number
