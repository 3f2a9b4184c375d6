"""Statements that read jobs, and those of the verbs that people have; workers' are in `claiming` and `finishing`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pointsman.jobs.states import Status
from pointsman.kit.db import Connection, Record

_JOB = """
SELECT j.id, j.supervisor_run_id, j.worker_config::text AS worker_config, j.prompt, j.execution_target::text AS execution_target, j.status,
       j.result::text AS result, j.container_id, j.target_host, j.retry_count, j.memory_limit_mb, j.last_failure_reason, j.created_at,
       j.started_at, j.completed_at, j.timeout_at,
       d.ordinal, d.tenant_id, d.key_id, d.user_id, d.agent_id, d.run_id, d.engine_id, d.target_id, d.worker_pool, d.priority, d.kind,
       d.job_spec::text AS job_spec, d.epoch, d.failures, d.max_attempts, d.timeout_seconds, d.remaining_seconds, d.parked,
       d.cancel_requested, d.retry_at
FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
"""

_ATTEMPTS = """
SELECT job_id, epoch AS number, epoch, status, worker, engine_id, target_id, handle, memory_limit_mb, peak_memory_mb, exit_code, reason,
       evidence::text AS evidence, started_at, ended_at
FROM job_attempts WHERE job_id = ANY($1) ORDER BY job_id, epoch
"""

# A job that is tried again by somebody has all its attempts before it, and no waiting line that it stood in before.
_RETRY = """
WITH held AS (
    SELECT j.id FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
    WHERE j.id = $1 AND j.status = ANY($2) FOR UPDATE OF j, d
), jobs AS (
    UPDATE execution_jobs j SET status = 'queued', completed_at = NULL, timeout_at = NULL, result = NULL, retry_count = retry_count + 1
    FROM held h WHERE j.id = h.id
)
UPDATE job_details d SET failures = 0, losses = 0, remaining_seconds = NULL, retry_at = NULL, not_before = NULL, cancel_requested = false,
    checkpoint = NULL, life = life + 1, sent = sent + 1, last_seq = last_seq + 1
FROM held h WHERE d.job_id = h.id
RETURNING d.job_id, d.run_id, d.worker_pool, d.priority, d.sent, d.last_seq
"""

_WAKE = """
WITH held AS (
    SELECT j.id FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
    WHERE j.id = $1 AND j.status = 'awaiting_approval' FOR UPDATE OF j, d
), jobs AS (
    UPDATE execution_jobs j SET status = 'queued' FROM held h WHERE j.id = h.id
)
UPDATE job_details d SET sent = sent + 1, last_seq = last_seq + 1 FROM held h WHERE d.job_id = h.id
RETURNING d.job_id, d.run_id, d.worker_pool, d.priority, d.sent, d.last_seq
"""


_LIVE: frozenset[Status] = frozenset({"queued", "running", "awaiting_approval"})


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list shows; a tenant of None is all tenants."""

    tenant: str | None
    status: Status | None = None
    target: str | None = None
    pool: str | None = None
    run: str | None = None
    before: int | None = None


async def find_job(connection: Connection, job_id: uuid.UUID, tenant: str | None) -> Record | None:
    """The job, if the tenant may see it; a tenant of None sees all."""
    return await connection.fetchrow(_JOB + " WHERE j.id = $1 AND ($2::varchar IS NULL OR d.tenant_id = $2)", job_id, tenant)


async def list_jobs(connection: Connection, filters: Filters, limit: int) -> list[Record]:
    """Newest first. Whoever asks for jobs of a target is shown those that were asked onto it, and those that ran on it last."""
    return await connection.fetch(
        _JOB
        + """
        WHERE ($1::varchar IS NULL OR d.tenant_id = $1) AND ($2::varchar IS NULL OR j.status = $2)
          AND ($3::varchar IS NULL OR coalesce(j.execution_target->>'id', d.target_id) = $3)
          AND ($4::varchar IS NULL OR d.worker_pool = $4) AND ($5::varchar IS NULL OR d.run_id = $5)
          AND ($6::bigint IS NULL OR d.ordinal < $6)
        """
        + (" AND j.completed_at IS NULL" if filters.status in _LIVE else "")  # what lives is found without what has ended
        + " ORDER BY d.ordinal DESC LIMIT $7",
        filters.tenant,
        filters.status,
        filters.target,
        filters.pool,
        filters.run,
        filters.before,
        limit,
    )


async def list_attempts(connection: Connection, job_ids: Sequence[uuid.UUID]) -> list[Record]:
    """Attempts of these jobs, in the order of their number."""
    return await connection.fetch(_ATTEMPTS, list(job_ids))


async def find_status(connection: Connection, job_id: uuid.UUID) -> Record | None:
    """Only the status, and whether the job's events are still there."""
    return await connection.fetchrow(
        """
        SELECT status, EXISTS (SELECT FROM job_events e WHERE e.job_id = j.id AND e.seq = 1) AS told FROM execution_jobs j WHERE j.id = $1
        """,
        job_id,
    )


async def request_cancel(connection: Connection, job_id: uuid.UUID) -> bool:
    """Ask the worker that runs the job to cancel it; false where none does."""
    asked = await connection.fetchval(
        """
        UPDATE job_details d SET cancel_requested = true FROM execution_jobs j
        WHERE d.job_id = $1 AND j.id = d.job_id AND j.status = 'running' RETURNING true
        """,
        job_id,
    )
    if asked:
        await connection.execute("SELECT pg_notify('pointsman', $1)", f"job_cancel:{job_id}")
    return bool(asked)


async def list_cancel_requests(connection: Connection, job_ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these jobs somebody wants cancelled."""
    rows = await connection.fetch("SELECT job_id FROM job_details WHERE job_id = ANY($1) AND cancel_requested", list(job_ids))
    return [row["job_id"] for row in rows]


async def retry(connection: Connection, job_id: uuid.UUID, retryable: Sequence[Status]) -> Record | None:
    """From an end back to queued; None where it has not ended so."""
    return await connection.fetchrow(_RETRY, job_id, list(retryable))


async def next_event(connection: Connection, job_id: uuid.UUID) -> Record | None:
    """The number of one more event of the job, and its run."""
    return await connection.fetchrow("UPDATE job_details SET last_seq = last_seq + 1 WHERE job_id = $1 RETURNING last_seq, run_id", job_id)


async def wake(connection: Connection, job_id: uuid.UUID) -> Record | None:
    """From awaiting a decision back to queued; None where it does not await one."""
    return await connection.fetchrow(_WAKE, job_id)


async def list_engines(connection: Connection) -> list[str]:
    """Ids of the active engines."""
    rows = await connection.fetch("SELECT id FROM execution_engines WHERE is_active ORDER BY id LIMIT 1000")
    return [row["id"] for row in rows]


async def list_targets(connection: Connection) -> list[Record]:
    """The active targets, where each belongs and whom it takes."""
    return await connection.fetch(
        """
        SELECT id, worker_pool, (connection_config->'tenants')::text AS tenants FROM execution_targets
        WHERE is_active ORDER BY id LIMIT 1000
        """
    )
