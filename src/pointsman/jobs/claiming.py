"""How a worker comes by an attempt: many jobs to a transaction, each fenced by its epoch, capacity exact across the fleet.

The rows of the targets are locked first, each in the order of its id, then those of the jobs: claims never wait for each other in a
circle, and whoever counts running attempts sees every claim that was granted before.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from pointsman.jobs import events
from pointsman.jobs.rows import Claim, Claimed, Gone, Lost, Parked, Waiting
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Record

CLAIMING = failpoints.declare("jobs.claim", "Attempts begin: job, attempt and event; or jobs are parked where no slot is free.")

MOST_LOSSES = 20
"""Workers that may die with a job before it is taken for the cause."""

_WAITING = """
SELECT j.id, j.status, d.tenant_id, d.key_id, d.user_id, d.agent_id, d.run_id, d.engine_id, d.target_id, d.worker_pool, d.priority,
       d.kind, j.prompt, d.job_spec::text AS job_spec, j.worker_config::text AS worker_config, d.max_attempts, d.timeout_seconds,
       a.target_id AS lost_on, a.handle AS lost_handle
FROM execution_jobs j
JOIN job_details d ON d.job_id = j.id
LEFT JOIN job_attempts a ON a.job_id = j.id AND a.status = 'running'
WHERE j.id = ANY($1) AND j.completed_at IS NULL AND j.status IN ('queued', 'running')
"""

_LOCK_POOLS = """
SELECT pg_advisory_xact_lock(hashtextextended('pointsman/pool/' || pool, 0))
FROM (SELECT DISTINCT worker_pool AS pool FROM job_details WHERE job_id = ANY($1) ORDER BY 1) pools
"""

_LOCK_TARGETS = "SELECT FROM execution_targets WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"

# An attempt that is still said to be running is one whose worker was declared dead by the queue: it is lost, in this very statement, and
# takes no slot any more.
_CLAIM = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::varchar[], $4::varchar[], $5::varchar[], $6::text[], $7::int[], $8::int[], $9::int[])
    AS a (job_id, message, worker, engine_id, target_id, place, slots, pool_slots, cap_mb)
), held AS MATERIALIZED (
    SELECT a.*, j.status, j.memory_limit_mb, d.worker_pool, d.priority, d.ordinal, d.tenant_id, d.kind, d.most_memory_mb,
           coalesce(d.remaining_seconds, d.timeout_seconds) AS seconds, d.losses
    FROM asked a JOIN execution_jobs j ON j.id = a.job_id JOIN job_details d ON d.job_id = a.job_id
    WHERE j.status IN ('queued', 'running') AND NOT d.parked AND (a.message IS NULL OR a.message = d.sent)
      AND (d.not_before IS NULL OR d.not_before <= clock_timestamp())
    ORDER BY j.id FOR UPDATE OF j, d
), lost AS (
    UPDATE job_attempts t SET status = 'lost', ended_at = clock_timestamp(), reason = 'lost: its worker went away'
    FROM held h WHERE t.job_id = h.job_id AND t.status = 'running'
    RETURNING t.job_id, t.epoch, t.target_id, t.handle
), busy AS (
    SELECT t.target_id, count(*) AS n FROM job_attempts t
    WHERE t.status = 'running' AND t.target_id = ANY($5) AND NOT EXISTS (SELECT FROM held h WHERE h.job_id = t.job_id)
    GROUP BY t.target_id
), pool_busy AS (
    SELECT t.worker_pool, count(*) AS n FROM job_attempts t
    WHERE t.status = 'running' AND t.worker_pool IN (SELECT worker_pool FROM held WHERE pool_slots IS NOT NULL)
      AND NOT EXISTS (SELECT FROM held h WHERE h.job_id = t.job_id)
    GROUP BY t.worker_pool
), seated AS (
    SELECT h.*, coalesce(b.n, 0) + row_number() OVER (PARTITION BY h.target_id ORDER BY h.priority DESC, h.ordinal) AS seat
    FROM held h LEFT JOIN busy b ON b.target_id = h.target_id
    WHERE NOT (h.status = 'running' AND h.losses + 1 >= $10)
), pooled AS (
    SELECT s.*, coalesce(s.seat <= s.slots, true) AS fits,
           coalesce(b.n, 0) + row_number() OVER (
               PARTITION BY s.worker_pool, coalesce(s.seat <= s.slots, true) ORDER BY s.priority DESC, s.ordinal) AS pool_seat
    FROM seated s LEFT JOIN pool_busy b ON b.worker_pool = s.worker_pool
), fated AS (
    SELECT p.job_id, CASE WHEN p.fits AND coalesce(p.pool_seat <= p.pool_slots, true) THEN 'granted' ELSE 'parked' END AS fate FROM pooled p
), decided AS MATERIALIZED (
    SELECT h.*, coalesce(f.fate, 'poisoned') AS fate,
           greatest(1, least(coalesce(h.memory_limit_mb, m.memory_mb, h.most_memory_mb), h.cap_mb)) AS memory_mb
    FROM held h LEFT JOIN fated f ON f.job_id = h.job_id
    LEFT JOIN job_memory m ON m.tenant_id = h.tenant_id AND m.engine_id = h.engine_id AND m.kind = h.kind
), details AS (
    UPDATE job_details d SET
        epoch = d.epoch + CASE x.fate WHEN 'granted' THEN 1 ELSE 0 END,
        last_seq = d.last_seq + CASE x.fate WHEN 'parked' THEN 0 ELSE 1 END,
        losses = d.losses + CASE x.status WHEN 'running' THEN 1 ELSE 0 END,
        not_before = NULL,
        parked = x.fate = 'parked',
        parked_on = CASE x.fate WHEN 'parked' THEN x.target_id END,
        parked_limit = CASE x.fate WHEN 'parked' THEN coalesce(x.slots, x.pool_slots) END
    FROM decided x WHERE d.job_id = x.job_id
    RETURNING d.job_id, d.epoch, d.last_seq, d.run_id, d.failures, d.max_attempts, d.cancel_requested, d.explicit_memory,
              d.checkpoint::text AS checkpoint
), jobs AS (
    UPDATE execution_jobs j SET
        status = CASE x.fate WHEN 'granted' THEN 'running' WHEN 'parked' THEN 'queued' ELSE 'failed' END,
        started_at = CASE x.fate WHEN 'granted' THEN coalesce(j.started_at, clock_timestamp()) ELSE j.started_at END,
        timeout_at = CASE x.fate WHEN 'granted' THEN clock_timestamp() + make_interval(secs => x.seconds) END,
        memory_limit_mb = CASE x.fate WHEN 'granted' THEN x.memory_mb ELSE j.memory_limit_mb END,
        execution_target = CASE x.fate WHEN 'granted' THEN x.place::jsonb ELSE j.execution_target END,
        container_id = NULL, target_host = NULL,
        completed_at = CASE x.fate WHEN 'poisoned' THEN clock_timestamp() END,
        last_failure_reason = CASE WHEN x.fate = 'poisoned' THEN 'lost: ' || $10 || ' workers died with this job'
                                   WHEN x.status = 'running' THEN 'lost: its worker went away' ELSE j.last_failure_reason END
    FROM decided x WHERE j.id = x.job_id AND (x.fate <> 'parked' OR x.status = 'running')
), tried AS (
    INSERT INTO job_attempts (job_id, epoch, worker, engine_id, target_id, worker_pool, handle, memory_limit_mb)
    SELECT x.job_id, d.epoch, x.worker, x.engine_id, x.target_id, x.worker_pool, 'pm-' || x.job_id || '-' || d.epoch, x.memory_mb
    FROM decided x JOIN details d ON d.job_id = x.job_id WHERE x.fate = 'granted'
)
SELECT x.job_id, x.fate, x.tenant_id, x.worker, x.engine_id, x.target_id, x.worker_pool, x.kind, x.memory_mb, x.cap_mb, x.seconds,
       d.epoch, d.last_seq, d.run_id, d.failures, d.max_attempts, d.cancel_requested, d.checkpoint, d.explicit_memory,
       l.epoch AS lost_epoch, l.target_id AS lost_on, l.handle AS lost_handle
FROM decided x JOIN details d ON d.job_id = x.job_id LEFT JOIN lost l ON l.job_id = x.job_id
ORDER BY x.priority DESC, x.ordinal
"""


async def find_waiting(connection: Connection, job_ids: Sequence[uuid.UUID]) -> list[Waiting]:
    """Those of the jobs that have something to do, with what engine and target are chosen by."""
    rows = await connection.fetch(_WAITING, list(job_ids))
    return [Waiting(**{name: row[name] for name in Waiting.__slots__}) for row in rows]


async def claim(connection: Connection, claims: Sequence[Claim]) -> list[Claimed | Parked | Gone]:
    """Begin attempts at jobs, each named once, in the caller's transaction.

    An attempt that was still said to be running is lost: whoever had it commits nothing any more. Where the target or the pool has no
    slot, the job is parked; of several, those of higher priority are served first, then the older ones.
    """
    if any(claim.pool_slots is not None for claim in claims):
        await connection.fetch(_LOCK_POOLS, [claim.job_id for claim in claims if claim.pool_slots is not None])
    bounded = sorted({claim.target_id for claim in claims if claim.slots is not None})
    if bounded:
        await connection.fetch(_LOCK_TARGETS, bounded)
    rows = await connection.fetch(
        _CLAIM,
        [claim.job_id for claim in claims],
        [claim.message for claim in claims],
        [claim.worker for claim in claims],
        [claim.engine_id for claim in claims],
        [claim.target_id for claim in claims],
        [claim.place for claim in claims],
        [claim.slots for claim in claims],
        [claim.pool_slots for claim in claims],
        [claim.cap_mb for claim in claims],
        MOST_LOSSES,
    )
    await events.tell(connection, [_told(row) for row in rows if row["fate"] != "parked"])
    taken = {row["job_id"]: _taken(row) for row in rows}
    return [taken.get(claim.job_id) or Gone(claim.job_id) for claim in claims]


def _taken(row: Record) -> Claimed | Parked | Gone:
    if row["fate"] == "granted":
        return _claimed(row)
    return Parked(row["job_id"]) if row["fate"] == "parked" else Gone(row["job_id"])


def _claimed(row: Record) -> Claimed:
    lost = None if row["lost_epoch"] is None else Lost(row["lost_epoch"], row["lost_on"], row["lost_handle"])
    named = set(Claimed.__slots__) - {"handle", "lost"}
    return Claimed(**{name: row[name] for name in named}, handle=handle_of(row["job_id"], row["epoch"]), lost=lost)


def handle_of(job_id: uuid.UUID, epoch: int) -> str:
    """What the sandbox of an attempt is called, so that it is found whoever opened it."""
    return f"pm-{job_id}-{epoch}"


def _told(row: Record) -> events.Told:
    said = cast("dict[str, object]", {"attempt": row["epoch"], "engine_id": row["engine_id"], "target_id": row["target_id"]})
    if row["fate"] == "granted":
        said["memory_limit_mb"] = row["memory_mb"]
        kind = events.STARTED
        if row["lost_epoch"] is not None:
            said["lost_attempt"] = row["lost_epoch"]
    else:
        said |= {"status": "failed", "reason": f"lost: {MOST_LOSSES} workers died with this job"}
        kind = events.FINISHED
    return events.Told(row["job_id"], row["run_id"], row["last_seq"], kind, said)
