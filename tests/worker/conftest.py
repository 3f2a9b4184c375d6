"""A worker in the test's own process, on a migrated clone with the engines and the target that are there out of the box."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from pointsman.bootstrap.worker import Worker
from pointsman.execution.defaults import make_defaults
from pointsman.jobs.creating import create_jobs
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import NewJob
from pointsman.kit.db import Database, Record
from pointsman.settings import Settings

POOL = "linux_worker_pool"
ENDED = {"completed", "failed", "oom", "failed_circuit_open"}

StartWorker = Callable[[], Coroutine[Any, Any, Worker]]


@pytest.fixture
async def start_worker(settings: Settings, dsn: str, db: Database) -> AsyncGenerator[StartWorker]:
    """Start one more worker; those that still work at the end of the test are stopped."""
    await make_defaults(db)
    workers: list[Worker] = []

    async def start() -> Worker:
        worker = await Worker.open(settings, dsn, pool=POOL, slots=8)
        await worker.start()
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        if not worker.is_closed:
            await worker.close(patience=timedelta(seconds=0.1))


@pytest.fixture
async def worker(start_worker: StartWorker) -> Worker:
    return await start_worker()


class Jobs:
    """Creates jobs and looks at them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, *commands: list[str], **more: Any) -> NewJob:
        spec = JobSpec(commands=list(commands), **more.pop("spec", {}))
        values: dict[str, Any] = {"timeout_seconds": 60.0, "max_attempts": 3, "most_memory_mb": 256, **more}
        job = NewJob(tenant_id="", prompt="work", kind="test", job_spec=spec.model_dump_json(), **values)
        async with self._db.transaction() as connection:
            await create_jobs(connection, [job])
        return job

    async def read(self, job: NewJob) -> Record:
        async with self._db.connection() as connection:
            row = await connection.fetchrow("SELECT *, result::text AS result FROM execution_jobs WHERE id = $1", job.id)
        assert row is not None
        return row

    async def attempts(self, job: NewJob) -> list[Record]:
        async with self._db.connection() as connection:
            return await connection.fetch("SELECT * FROM job_attempts WHERE job_id = $1 ORDER BY epoch", job.id)

    async def until(self, job: NewJob, *statuses: str, within: float = 30.0) -> Record:
        """The job once it is in one of these (by default: has ended)."""
        async with asyncio.timeout(within):
            while (row := await self.read(job))["status"] not in (statuses or ENDED):
                await asyncio.sleep(0.02)
        return row


@pytest.fixture
def jobs(db: Database) -> Jobs:
    return Jobs(db)
