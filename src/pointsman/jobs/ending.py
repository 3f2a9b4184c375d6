"""How jobs end without an attempt of their own: cancelled, denied, or refused by whoever was to run them; and who hears of the last one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence

from pointsman.jobs import events
from pointsman.jobs.points import CANCELLING
from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.states import Status, require_edge
from pointsman.jobs.storable import storable_text
from pointsman.kit.db import Connection

CANCELLED = "cancelled: somebody asked for it"

_END = """
WITH held AS MATERIALIZED (
    SELECT j.id FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
    WHERE j.id = $1 AND j.status = $2 FOR UPDATE OF j, d
), details AS (
    UPDATE job_details d SET last_seq = d.last_seq + 1, parked = false, not_before = NULL, retry_at = $5 FROM held h WHERE d.job_id = h.id
    RETURNING d.job_id, d.last_seq, d.run_id, d.worker_pool
), jobs AS (
    UPDATE execution_jobs j SET status = $3, last_failure_reason = $4, completed_at = clock_timestamp() FROM held h WHERE j.id = h.id
)
SELECT job_id, last_seq, run_id, worker_pool FROM details
"""

_LIVE = """
SELECT DISTINCT run_id FROM job_details d JOIN execution_jobs j ON j.id = d.job_id
WHERE d.run_id = ANY($1) AND j.completed_at IS NULL
"""


async def end(
    connection: Connection,
    job_id: uuid.UUID,
    *,
    before: Status,
    after: Status,
    reason: str,
    retry_at: dt.datetime | None = None,
) -> bool:
    """End a job that is `before` (queued or awaiting a decision) in the caller's transaction; false where it is not.

    Raises JobStateRefused for an edge that there is not.
    """
    require_edge(before, after)
    row = await connection.fetchrow(_END, job_id, before, after, storable_text(reason), retry_at)
    if row is None:
        return False
    said: dict[str, object] = {"status": after, "reason": reason}
    if retry_at is not None:
        said["retry_at"] = retry_at
    await events.tell(connection, [events.Told(job_id, row["run_id"], row["last_seq"], events.FINISHED, said)])
    if row["run_id"] is not None:
        await supervise(connection, [(row["run_id"], row["worker_pool"])])
    await CANCELLING.reach("in")
    return True


async def supervise(connection: Connection, ended: Sequence[tuple[str, str]]) -> None:
    """Jobs of these runs (with their pool) have ended: whose last one that was is told that there is something to do.

    The event of each end was appended to its run before, under a lock on the run that lasts until the transaction ends: of two jobs that
    end at once, one sees the other's end.
    """
    pools = dict(ended)
    if pools:
        live = await _live(connection, pools)
        await enqueue(connection, [Message("supervise", run_id, pool) for run_id, pool in pools.items() if run_id not in live])


async def _live(connection: Connection, runs: Collection[str]) -> set[str]:
    return {row["run_id"] for row in await connection.fetch(_LIVE, list(runs))}
