"""Jobs that meet a breaker: the one that opens it, those that find it open, and the one that closes it."""

from __future__ import annotations

from tests.worker.conftest import Jobs

from pointsman.bootstrap.worker import Worker
from pointsman.breakers.breaking import Breakers, Subject
from pointsman.jobs.service import JobService
from pointsman.kit.db import Database
from pointsman.kit.principal import Principal

OPERATOR = Principal(key_id=1, key_name="operator", owner_id=None, scopes=frozenset({"admin"}), tenant=None)


async def test_a_job_that_meets_an_open_breaker_says_when_it_may_be_retried_and_is_done_then(
    worker: Worker, jobs: Jobs, db: Database
) -> None:
    breakers = Breakers(db, worker.listener, worker.settings.breakers)
    for number in range(worker.settings.breakers.failures):
        await breakers.failed(Subject("target", "local"), f"job {number}", "target-failed: it is away")
    job = await jobs.create()
    row = await jobs.until(job)
    assert row["status"] == "failed_circuit_open"
    assert row["last_failure_reason"].startswith("circuit-open: target:local failed too often")
    assert await jobs.attempts(job) == []
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT retry_at > clock_timestamp() FROM job_details WHERE job_id = $1", job.id)
    async with db.transaction() as connection:
        await connection.execute("UPDATE circuit_breakers SET retry_at = clock_timestamp()")
    await JobService(db).retry(OPERATOR, str(job.id))
    assert (await jobs.until(job))["status"] == "completed"
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT state FROM circuit_breakers") == "closed"
