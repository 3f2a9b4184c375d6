"""Every statement on the table of workers; returns rows or None."""

from __future__ import annotations

from datetime import timedelta

from pointsman.kit.db import Connection, Record

_BEAT = """
INSERT INTO workers (id, host, pid, version, worker_pool, slots, isolation, draining) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET isolation = EXCLUDED.isolation, draining = EXCLUDED.draining, seen_at = clock_timestamp()
"""
_FORGET_SILENT = "DELETE FROM workers WHERE seen_at < clock_timestamp() - interval '1 hour'"
# Another tenant's jobs are not there for whoever asks.
_LIST = """
SELECT w.*, clock_timestamp() - w.seen_at > $3::interval AS is_silent,
       (SELECT coalesce(array_agg(a.job_id ORDER BY a.started_at), '{}')
          FROM job_attempts a JOIN job_details d USING (job_id)
         WHERE a.worker = w.id AND a.status = 'running' AND ($4::text IS NULL OR d.tenant_id = $4)) AS jobs
  FROM workers w
 WHERE w.id > $1 AND ($5::text IS NULL OR w.worker_pool = $5)
 ORDER BY w.id LIMIT $2
"""


async def beat(
    connection: Connection,
    worker_id: str,
    *,
    host: str,
    pid: int,
    version: str,
    worker_pool: str,
    slots: int,
    isolation: str | None,
    draining: bool,
) -> None:
    """It is here, and so it is with it."""
    await connection.execute(_BEAT, worker_id, host, pid, version, worker_pool, slots, isolation, draining)


async def forget_silent(connection: Connection) -> None:
    """Those that have said nothing for an hour."""
    await connection.execute(_FORGET_SILENT)


async def forget(connection: Connection, worker_id: str) -> None:
    """One that has ended."""
    await connection.execute("DELETE FROM workers WHERE id = $1", worker_id)


async def list_workers(
    connection: Connection, *, tenant: str | None, worker_pool: str | None, silent_after: timedelta, after: str | None, limit: int
) -> list[Record]:
    """By id; with the ids of the jobs in hand that `tenant` (None: everybody) may see."""
    return await connection.fetch(_LIST, after or "", limit, silent_after, tenant, worker_pool)
