"""A worker does jobs, from a message to an outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from pointsman.bootstrap.worker import Worker
from pointsman.execution.defaults import make_defaults
from pointsman.jobs.creating import create_jobs
from pointsman.jobs.rows import NewJob
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings

POOL = "linux_worker_pool"


@pytest.fixture
async def worker(settings: Settings, dsn: str, db: Database) -> AsyncGenerator[Worker]:
    await make_defaults(db)
    worker = await Worker.open(settings, dsn, pool=POOL, slots=8)
    await worker.start()
    yield worker
    await worker.close(patience=timedelta(seconds=1))


def job(**more: object) -> NewJob:
    values = {
        "tenant_id": "", "prompt": "nothing", "kind": "none", "job_spec": json.dumps({"commands": []}), "timeout_seconds": 60.0,
        "max_attempts": 3, "most_memory_mb": 4096, **more,
    }
    return NewJob(**values)  # type: ignore[arg-type]


async def test_a_job_without_commands_is_done(worker: Worker, db: Database, owner: Connection) -> None:
    new = job()
    async with db.transaction() as connection:
        await create_jobs(connection, [new])
    for _ in range(100):
        row = await owner.fetchrow("SELECT status, result::text, last_failure_reason, started_at - created_at AS waited FROM execution_jobs WHERE id = $1", new.id)
        if row["status"] not in ("queued", "running"):
            break
        await asyncio.sleep(0.05)
    assert row["status"] == "completed", dict(row)
    print(dict(row))
