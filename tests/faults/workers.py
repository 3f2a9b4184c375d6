"""Sixteen workers, five thousand jobs, ten of the workers killed at random: one result for each job, and no limit ever exceeded.

The jobs are for two targets of one pool, most of them without commands, some in sandboxes that take their time; each target and the pool
have a limit of jobs at once. Judged are the rows: from the beginnings and ends of all attempts, how many there were at most at the same
moment; that each job has come to one end, with one result, and none has had an effect twice in one attempt. COUNT is the number of jobs;
there are sixteen workers however few.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid

from tests.faults.fleet import Fleet, fleet
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage
from tests.faults.work import Submitted, Work, judge, leftovers, most_at_once

from pointsman.jobs.creating import create_jobs
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import NewJob
from pointsman.kit.db import Database

WORKERS, KILLS = 16, 10
SAMPLE_WORKERS, SAMPLE_KILLS = 2, 1
POOL = "linux_worker_pool"
TARGETS = {"one": 7, "two": 11}
POOL_LIMIT = 15
IN_SANDBOX = 0.06  # of the jobs
_BATCH = 50
_TOLD = 30  # of what is wrong with jobs


async def perform(stage: Stage) -> Told:
    count, kills = (SAMPLE_WORKERS, SAMPLE_KILLS) if stage.options.sample else (WORKERS, KILLS)
    effects = stage.folder / "effects"
    effects.mkdir()
    effects.chmod(0o777)  # the accounts of sandboxes write there
    work = Work(stage, effects)
    for name, slots in TARGETS.items():
        capacity = {"max_concurrent_jobs": slots, "memory_mb": 256, "cpus": 1}
        mounts = [{"source": str(effects), "path": "/effects", "writable": True}]
        target = {"id": name, "name": name, "type": "local", "connection_config": {"mounts": mounts}, "capacity": capacity}
        await stage.ask("POST", "/v2/targets", target)
    began = time.monotonic()
    limits = json.dumps({POOL: POOL_LIMIT})
    async with fleet(stage, count, POINTSMAN_WORKERS__POOL_LIMITS=limits) as workers:
        stage.options.say(f"{count} workers work after {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        creating = asyncio.create_task(_create(work))
        await _kill_some(stage, workers, kills)
        await creating
        done = await work.ended(work.jobs.values(), within=max(30.0, stage.time_left))
        seconds = time.monotonic() - began
        failures = [] if done else [f"jobs were still under way after {seconds:.0f} s"]
        failures += (await judge(work, workers.deaths()))[:_TOLD]
        await asyncio.sleep(2)
        failures += await leftovers(work, TARGETS)
    most = await most_at_once(stage.dsn, "target_id") | await most_at_once(stage.dsn, "worker_pool")
    bounds = {**TARGETS, POOL: POOL_LIMIT}
    failures += [
        f"{name} had {most.get(name, 0)} jobs at once, {bound} allowed" for name, bound in bounds.items() if most.get(name, 0) > bound
    ]
    return Told(
        figures={
            "jobs": len(work.jobs),
            "workers": count,
            "workers killed": kills,
            "seconds until all had ended": seconds,
            **{f"most jobs at once, {name} ({bound} allowed)": most.get(name, 0) for name, bound in bounds.items()},
        },
        failures=failures,
    )


async def _create(work: Work) -> None:
    """All the jobs, some of them in sandboxes, in random order."""
    stage = work.stage
    db = await Database.connect(stage.dsn, pool_size=2)
    try:
        for start in range(0, stage.options.count, _BATCH):
            jobs = [_job(work) for _ in range(min(_BATCH, stage.options.count - start))]
            async with db.transaction() as connection:
                await create_jobs(connection, jobs)
            work.jobs.update(
                {str(job.id): Submitted(str(job.id), 2.0, frozenset({"completed"}), waits=stage.options.duration) for job in jobs}
            )
            await asyncio.sleep(0)
    finally:
        await db.close()


def _job(work: Work) -> NewJob:
    chance = work.stage.chance
    commands = [work.effect(chance.uniform(0.05, 0.5))] if chance.random() < IN_SANDBOX else []
    return NewJob(
        tenant_id="",
        prompt="Much to do.",
        kind="faults",
        job_spec=JobSpec(commands=commands).model_dump_json(exclude_unset=True),
        timeout_seconds=600.0,
        max_attempts=3,
        most_memory_mb=64,
        target_id=chance.choice(list(TARGETS)),
        worker_pool=POOL,
        id=uuid.UUID(int=chance.getrandbits(128), version=4),
    )


async def _kill_some(stage: Stage, workers: Fleet, kills: int) -> None:
    """At random moments while there is work; nobody takes the place of who was killed."""
    for _ in range(kills):
        await asyncio.sleep(stage.chance.uniform(0.2, 3.0))
        await workers.kill(stage.chance.choice(workers.alive()))


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("workers", __doc__ or "", count=5000, duration=900, sample=60),
            perform,
            title="Many workers, of whom most are killed",
            required=(),
            replicas=1,
        )
    )
