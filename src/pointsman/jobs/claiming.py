"""How a worker comes by an attempt: many jobs to a transaction, each fenced by its epoch, capacity exact across the fleet.

The rows of the targets are locked first, each in the order of its id, then those of the jobs: claims never wait for each other in a
circle, and whoever counts running attempts sees every claim that was granted before.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from pointsman.jobs import events
from pointsman.jobs.points import PARKING
from pointsman.jobs.rows import Claim, Claimed, Gone, Lost, Parked, Waiting
from pointsman.kit.db import Connection, Record

MOST_LOSSES = 20
"""Workers that may die with a job before it is taken for the cause."""

_WAITING = """
SELECT j.id, j.status, d.tenant_id, d.key_id, d.user_id, d.agent_id, d.run_id, d.engine_id, d.target_id, d.worker_pool, d.priority,
       d.kind, j.prompt, d.job_spec::text AS job_spec, j.worker_config::text AS worker_config, d.max_attempts, d.timeout_seconds, d.life,
       (SELECT s.supervisor_response ->> 'risk_level' FROM supervisor_runs s WHERE s.id = j.supervisor_run_id) AS risk_level,
       a.target_id AS lost_on, a.handle AS lost_handle
FROM execution_jobs j
JOIN job_details d ON d.job_id = j.id
LEFT JOIN LATERAL (SELECT t.target_id, t.handle FROM job_attempts t WHERE t.job_id = j.id AND t.status = 'running' LIMIT 1) a ON true
WHERE j.id = ANY($1) AND j.completed_at IS NULL AND j.status IN ('queued', 'running')
"""

_LOCK_POOLS = """
SELECT pg_advisory_xact_lock(hashtextextended('pointsman/pool/' || pool, 0))
FROM (SELECT DISTINCT worker_pool AS pool FROM job_details WHERE job_id = ANY($1) ORDER BY 1) pools
"""

_LOCK_TARGETS = "SELECT FROM execution_targets WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"

# An attempt that is still said to be running is one whose worker was declared dead by the queue: it is lost, in this very statement, and
# takes no slot any more. Rows are locked one by one, in the order of the array, by look-ups that no plan can turn into a scan. A claim
# that had to wait for another one of the same job sees the job as that one left it, but not the attempt that it began: it comes too late.
_CLAIM = """
WITH held AS MATERIALIZED (
    SELECT a.*, j.status, j.memory_limit_mb, d.worker_pool, d.priority, d.ordinal, d.tenant_id, d.kind, d.most_memory_mb,
           coalesce(d.remaining_seconds, d.timeout_seconds) AS seconds, j.status = 'running' AND d.losses + 1 >= $10 AS poisoned
    FROM unnest($1::uuid[], $2::int[], $3::varchar[], $4::varchar[], $5::varchar[], $6::text[], $7::int[], $8::int[], $9::int[])
        AS a (job_id, message, worker, engine_id, target_id, place, slots, pool_slots, cap_mb)
    CROSS JOIN LATERAL (
        SELECT status, memory_limit_mb FROM execution_jobs WHERE id = a.job_id AND status IN ('queued', 'running') FOR UPDATE
    ) j
    CROSS JOIN LATERAL (
        SELECT * FROM job_details WHERE job_id = a.job_id AND NOT parked AND (a.message IS NULL OR a.message = sent)
            AND (not_before IS NULL OR not_before <= clock_timestamp()) FOR UPDATE
    ) d
    WHERE j.status = 'queued' OR EXISTS (SELECT FROM job_attempts t WHERE (t.job_id, t.epoch, t.status) = (a.job_id, d.epoch, 'running'))
), lost AS (
    UPDATE job_attempts t SET status = 'lost', ended_at = clock_timestamp(), reason = 'lost: its worker went away'
    WHERE t.job_id = ANY (ARRAY(SELECT job_id FROM held WHERE status = 'running')) AND t.status = 'running'
    RETURNING t.job_id, t.epoch, t.target_id, t.handle
), busy AS MATERIALIZED (
    SELECT t.target_id, count(*) AS n FROM job_attempts t
    WHERE t.status = 'running' AND t.target_id = ANY($5) AND t.job_id <> ALL (ARRAY(SELECT job_id FROM held WHERE status = 'running'))
    GROUP BY t.target_id
), pool_busy AS MATERIALIZED (
    SELECT t.worker_pool, count(*) AS n FROM job_attempts t
    WHERE t.status = 'running' AND t.worker_pool = ANY (ARRAY(SELECT worker_pool FROM held WHERE pool_slots IS NOT NULL))
      AND t.job_id <> ALL (ARRAY(SELECT job_id FROM held WHERE status = 'running'))
    GROUP BY t.worker_pool
), seated AS (
    SELECT h.*, coalesce((SELECT n FROM busy b WHERE b.target_id = h.target_id), 0)
                + row_number() OVER (PARTITION BY h.target_id, h.poisoned ORDER BY h.priority DESC, h.ordinal) AS seat
    FROM held h
), pooled AS (
    SELECT s.*, coalesce((SELECT n FROM pool_busy b WHERE b.worker_pool = s.worker_pool), 0)
                + row_number() OVER (PARTITION BY s.worker_pool, s.poisoned, coalesce(s.seat <= s.slots, true)
                                     ORDER BY s.priority DESC, s.ordinal) AS pool_seat
    FROM seated s
), decided AS MATERIALIZED (
    SELECT p.*,
           CASE WHEN p.poisoned THEN 'poisoned'
                WHEN coalesce(p.seat <= p.slots, true) AND coalesce(p.pool_seat <= p.pool_slots, true) THEN 'granted'
                ELSE 'parked' END AS fate,
           greatest(1, least(coalesce(p.memory_limit_mb,
                                      (SELECT m.memory_mb FROM job_memory m
                                       WHERE (m.tenant_id, m.engine_id, m.kind) = (p.tenant_id, p.engine_id, p.kind)),
                                      p.most_memory_mb), p.cap_mb)) AS memory_mb
    FROM pooled p
), details AS (
    UPDATE job_details d SET
        epoch = d.epoch + (x.fate = 'granted')::int,
        last_seq = d.last_seq + (x.fate <> 'parked')::int,
        losses = d.losses + (x.status = 'running')::int,
        not_before = NULL,
        parked = x.fate = 'parked',
        parked_on = CASE x.fate WHEN 'parked' THEN x.target_id END,
        parked_limit = CASE x.fate WHEN 'parked' THEN coalesce(x.slots, x.pool_slots) END
    FROM decided x WHERE d.job_id = x.job_id AND d.job_id = ANY (ARRAY(SELECT job_id FROM decided))
    RETURNING x.job_id, x.fate, x.worker, x.engine_id, x.target_id, x.memory_mb, x.cap_mb, x.seconds, d.tenant_id, d.worker_pool, d.kind,
              d.epoch, d.last_seq, d.run_id, d.failures, d.max_attempts, d.cancel_requested, d.explicit_memory, d.output_bytes,
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
    FROM decided x WHERE j.id = x.job_id AND j.id = ANY (ARRAY(SELECT job_id FROM decided)) AND (x.fate <> 'parked' OR x.status = 'running')
), tried AS (
    INSERT INTO job_attempts (job_id, epoch, worker, engine_id, target_id, worker_pool, handle, memory_limit_mb)
    SELECT job_id, epoch, worker, engine_id, target_id, worker_pool, 'pm-' || job_id || '-' || epoch, memory_mb
    FROM details WHERE fate = 'granted'
)
SELECT d.*, l.epoch AS lost_epoch, l.target_id AS lost_on, l.handle AS lost_handle FROM details d LEFT JOIN lost l ON l.job_id = d.job_id
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
    asked = sorted(claims, key=lambda claim: claim.job_id)
    rows = await connection.fetch(
        _CLAIM,
        [claim.job_id for claim in asked],
        [claim.message for claim in asked],
        [claim.worker for claim in asked],
        [claim.engine_id for claim in asked],
        [claim.target_id for claim in asked],
        [claim.place for claim in asked],
        [claim.slots for claim in asked],
        [claim.pool_slots for claim in asked],
        [claim.cap_mb for claim in asked],
        MOST_LOSSES,
    )
    await events.tell(connection, [_told(row) for row in rows if row["fate"] != "parked"])
    if any(row["fate"] == "parked" for row in rows):
        await PARKING.reach("in")
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
