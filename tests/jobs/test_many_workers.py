"""Many workers at once over the same jobs, some of which die: no deadlock, no slot too many, one end for each job."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.jobs.job_scene import Scene

from pointsman.jobs import claiming, finishing
from pointsman.jobs.rows import Claimed, Ending, Finish
from pointsman.jobs.service import wake
from pointsman.jobs.sweeping import JobSweeper
from pointsman.kit.db import Connection, Database

JOBS, WORKERS, SLOTS = 120, 8, 5
ENDINGS: tuple[Ending, ...] = ("done", "done", "done", "broke", "ran_out", "handed_over", "asks", "failed")

# What the queue does: a message is one worker's at a time, and gone when it is done with.
_TAKE = """
DELETE FROM queue.pgqueuer WHERE id IN (
    SELECT id FROM queue.pgqueuer WHERE execute_after <= now() ORDER BY priority DESC, id LIMIT $1 FOR UPDATE SKIP LOCKED
) RETURNING payload
"""
_RUNNING = "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM job_attempts WHERE status = 'running' GROUP BY target_id) c"


@dataclass
class Fleet:
    scene: Scene
    db: Database
    chance: random.Random
    ended: dict[uuid.UUID, int] = field(default_factory=dict[uuid.UUID, int])
    most: int = 0

    async def work(self, number: int) -> None:
        while True:
            jobs = await self._take()
            if not jobs:
                await asyncio.sleep(0.01)
                continue
            async with self.db.transaction() as connection:
                wishes = [self.scene.wish(job, target=self.chance.choice(("local", "other")), worker=f"w{number}") for job in jobs]
                claimed = [one for one in await claiming.claim(connection, wishes) if isinstance(one, Claimed)]
            await asyncio.sleep(self.chance.random() * 0.01)
            alive = [one for one in claimed if self.chance.random() > 0.05]  # the others die with their worker, and nobody says so
            await self._end(alive)

    async def _take(self) -> list[uuid.UUID]:
        async with self.db.connection() as connection:
            rows = await connection.fetch(_TAKE, self.chance.randint(1, 6))
        return list({uuid.UUID(row["payload"].decode().split(" ")[0]) for row in rows})

    async def _end(self, attempts: list[Claimed]) -> None:
        finishes = [Finish(one, self.chance.choice(ENDINGS), evidence="{}", peak_memory_mb=10) for one in attempts]
        async with self.db.transaction() as connection:
            kept = await finishing.finish(connection, finishes)
            for one, held in zip(finishes, kept, strict=True):
                if held and finishing.decide(one).job in {"completed", "failed", "oom"}:
                    self.ended[one.attempt.job_id] = self.ended.get(one.attempt.job_id, 0) + 1

    async def decide(self, owner: Connection) -> None:
        """People, impatient clocks, and an eye on the slots."""
        while True:
            rows = await owner.fetch("SELECT id FROM execution_jobs WHERE status = 'awaiting_approval'")
            for row in rows:
                async with self.db.transaction() as connection:
                    await wake(connection, row["id"])
            self.most = max(self.most, await owner.fetchval(_RUNNING))
            await owner.execute("UPDATE job_details SET not_before = NULL WHERE not_before IS NOT NULL")
            await owner.execute("UPDATE queue.pgqueuer SET execute_after = now() WHERE execute_after > now()")
            await asyncio.sleep(0.02)

    async def sweep(self) -> None:
        while True:
            await JobSweeper(self.db).run_once()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_job_comes_to_one_end_and_no_slot_is_given_twice(scene: Scene, owner: Connection, dsn: str, seed: int) -> None:
    db = await Database.connect(dsn, pool_size=WORKERS + 2, statement_timeout=timedelta(seconds=10))
    await scene.target("other")
    scene.slots = SLOTS
    jobs = await scene.create(JOBS, memory_mb=64)
    fleet = Fleet(scene, db, random.Random(seed))
    loops = [*(fleet.work(number) for number in range(WORKERS)), fleet.decide(owner), fleet.sweep()]
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        async with asyncio.timeout(60):
            while len(fleet.ended) < JOBS:
                for task in tasks:
                    assert not task.done(), task.exception()
                await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await db.close()
    assert set(fleet.ended) == set(jobs)
    assert set(fleet.ended.values()) == {1}
    assert 0 < fleet.most <= SLOTS
    for job in jobs:
        numbers = [seq for seq, _, _ in await scene.events(job)]
        assert numbers == list(range(1, len(numbers) + 1))
