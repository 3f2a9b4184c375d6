"""Who waits for a slot, and how they are woken: in the transaction that frees one, by priority, then age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pointsman.jobs.messages import messages_of
from pointsman.jobs.points import WAKING
from pointsman.jobs.queue.sending import enqueue
from pointsman.kit.db import Connection, Record

_WAKE = """
WITH picked AS (
    SELECT w.job_id FROM unnest($1::varchar[], $2::int[]) AS free (target_id, slots) CROSS JOIN LATERAL (
        SELECT d.job_id FROM job_details d WHERE d.parked AND d.parked_on = free.target_id
        ORDER BY d.priority DESC, d.ordinal LIMIT free.slots FOR UPDATE SKIP LOCKED
    ) w
)
UPDATE job_details d SET parked = false, sent = d.sent + 1 FROM picked p WHERE d.job_id = p.job_id
RETURNING d.job_id, d.worker_pool, d.priority, d.sent, d.parked_on
"""

# Who could go to any target of the pool and stands behind another one.
_WAKE_OF_POOL = """
WITH picked AS (
    SELECT w.job_id FROM unnest($1::varchar[], $2::int[]) AS free (worker_pool, slots) CROSS JOIN LATERAL (
        SELECT d.job_id FROM job_details d WHERE d.parked AND d.target_id IS NULL AND d.worker_pool = free.worker_pool
        ORDER BY d.priority DESC, d.ordinal LIMIT free.slots FOR UPDATE SKIP LOCKED
    ) w
)
UPDATE job_details d SET parked = false, sent = d.sent + 1 FROM picked p WHERE d.job_id = p.job_id
RETURNING d.job_id, d.worker_pool, d.priority, d.sent
"""

_LINES = """
SELECT t.id, t.worker_pool, line.parked_limit - (SELECT count(*) FROM job_attempts a WHERE a.status = 'running' AND a.target_id = t.id)
    AS slots
FROM execution_targets t CROSS JOIN LATERAL (
    SELECT coalesce(d.parked_limit, 1) AS parked_limit FROM job_details d WHERE d.parked AND d.parked_on = t.id
    ORDER BY d.priority DESC, d.ordinal LIMIT 1
) line
"""


async def wake(connection: Connection, freed: Mapping[tuple[str, str], int]) -> int:
    """So many slots were freed on each (target, pool): as many of those who wait are woken. How many there were."""
    woken = await connection.fetch(_WAKE, [target for target, _ in freed], list(freed.values()))
    left = Counter[str]()
    served = Counter(row["parked_on"] for row in woken)
    for (target, pool), slots in freed.items():
        left[pool] += slots - served[target]
    idle = {pool: slots for pool, slots in left.items() if slots > 0}
    if idle:
        woken += await connection.fetch(_WAKE_OF_POOL, list(idle), list(idle.values()))
    await _send(connection, woken)
    return len(woken)


async def wake_missed(connection: Connection) -> int:
    """Wake those who wait although there are slots: a slot was freed while they were being parked. How many there were."""
    lines = await connection.fetch(_LINES)
    free = {(row["id"], row["worker_pool"]): row["slots"] for row in lines if row["slots"] > 0}
    return await wake(connection, free) if free else 0


async def _send(connection: Connection, woken: list[Record]) -> None:
    if woken:
        await enqueue(connection, messages_of(woken))
        await WAKING.reach("in")
