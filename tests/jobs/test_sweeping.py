"""Jobs whose message is gone get another one, and nobody else does."""

from __future__ import annotations

from tests.jobs.job_scene import Scene

from pointsman.jobs.sweeping import JobSweeper, resend
from pointsman.kit.db import Database


async def test_jobs_without_their_message_get_another_one(scene: Scene, db: Database) -> None:
    queued, running, ended, waiting, parked = await scene.create(5)
    await scene.begin(running)
    await scene.end(await scene.begin(ended))
    await scene.end(await scene.begin(waiting), "asks")
    await scene.claim(parked, slots=0)
    await scene.take()
    await JobSweeper(db).run_once()
    assert sorted(await scene.take()) == sorted([(queued, 2), (running, 2)])


async def test_who_has_a_message_gets_no_second_one(scene: Scene, db: Database) -> None:
    await scene.create(3)
    retried = await scene.begun()
    await scene.end(retried, "broke", reason="target: gone")
    await scene.owner.execute("UPDATE queue.pgqueuer SET status = 'picked' WHERE id % 2 = 0")
    async with db.transaction() as connection:
        assert await resend(connection) == 0
