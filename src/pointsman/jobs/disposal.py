"""How jobs go when they are out of date, or when their user or tenant leaves: a bounded number of rows at a time, live ones never."""

from __future__ import annotations

import datetime as dt
import uuid
from datetime import timedelta
from typing import NamedTuple

from pointsman.kit.db import Connection


class Place(NamedTuple):
    """Where in the order of ends a job stands."""

    completed_at: dt.datetime
    id: uuid.UUID


_JOBS = 200  # ended jobs that one batch looks at
# Events of a job in one go: there are few rows, since output is bounded and stored many events to a row.
_EXPIRE_EVENTS = f"""
WITH due AS (
    SELECT id, completed_at FROM execution_jobs
    WHERE completed_at < clock_timestamp() - $1::interval AND status IN ('completed', 'failed', 'oom', 'failed_circuit_open')
      AND ($2::timestamptz IS NULL OR (completed_at, id) > ($2, $3::uuid))
    ORDER BY completed_at, id LIMIT least({_JOBS}, $4::int)
), told AS (
    DELETE FROM job_events WHERE job_id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
), filled AS (
    DELETE FROM job_workspaces WHERE job_id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
)
SELECT (SELECT count(*) FROM told) + (SELECT count(*) FROM filled) AS rows, count(*) AS jobs, max(completed_at) AS completed_at,
       (SELECT id FROM due ORDER BY completed_at DESC, id DESC LIMIT 1) AS id
FROM due
"""  # noqa: S608 - only the constant above

_EXPIRE_JOBS = """
DELETE FROM execution_jobs WHERE id = ANY (ARRAY(
    SELECT id FROM execution_jobs
    WHERE completed_at < clock_timestamp() - $1::interval AND status IN ('completed', 'failed', 'oom', 'failed_circuit_open')
    ORDER BY completed_at, id LIMIT $2
)) RETURNING 1
"""

# A job of a run is the run's user's, whoever's it says that it is.
_MINE = """
d.tenant_id = $1 AND ($2::varchar IS NULL OR d.user_id = $2 OR EXISTS (SELECT FROM runs r WHERE r.id = d.run_id AND r.user_id = $2))
"""
_ERASE = f"""
DELETE FROM execution_jobs WHERE id = ANY (ARRAY(
    SELECT d.job_id FROM job_details d JOIN execution_jobs j ON j.id = d.job_id
    WHERE {_MINE} AND j.completed_at IS NOT NULL ORDER BY d.ordinal LIMIT $3
)) RETURNING 1
"""  # noqa: S608 - made of constants
_LIVE = f"""
SELECT d.job_id FROM job_details d JOIN execution_jobs j ON j.id = d.job_id WHERE {_MINE} AND j.completed_at IS NULL LIMIT 1
"""  # noqa: S608 - made of constants
_FORGET = """
DELETE FROM job_memory WHERE (tenant_id, engine_id, kind) IN (
    SELECT tenant_id, engine_id, kind FROM job_memory WHERE tenant_id = $1 LIMIT $2
) RETURNING 1
"""


async def expire_events(connection: Connection, kept: timedelta, after: Place | None, most: int) -> tuple[int, Place | None, bool]:
    """Delete events and files of jobs that ended longer than `kept` ago; `after` is where the batch before came to.

    Gives how many rows went, the last job that was looked at, and whether there are more.
    """
    at, job_id = after or (None, None)
    row = await connection.fetchrow(_EXPIRE_EVENTS, kept, at, job_id, most)
    assert row is not None
    if not row["jobs"]:
        return row["rows"], after, False
    return row["rows"], Place(row["completed_at"], row["id"]), row["jobs"] == min(_JOBS, most)


async def expire_jobs(connection: Connection, kept: timedelta, most: int) -> int:
    """Delete jobs that ended longer than `kept` ago, with all that belongs to them; how many there were."""
    return len(await connection.fetch(_EXPIRE_JOBS, kept, most))


async def erase_jobs(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete ended jobs of a user, or of the tenant and what was learned from them; how many rows."""
    rows = len(await connection.fetch(_ERASE, tenant, user_id, most))
    if user_id is None and rows < most:
        rows += len(await connection.fetch(_FORGET, tenant, most - rows))
    return rows


async def find_live_job(connection: Connection, tenant: str, user_id: str | None) -> uuid.UUID | None:
    """A job of the user, or of the tenant, that has not ended."""
    return await connection.fetchval(_LIVE, tenant, user_id)
