"""What no message would set right: who waits although a slot is free, and jobs whose message is gone. By one process at a time."""

from __future__ import annotations

import asyncio
import time

import structlog

from pointsman.jobs.messages import messages_of
from pointsman.jobs.parking import wake_missed
from pointsman.jobs.queue.sending import enqueue
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

log = structlog.get_logger()

_EVERY = 1.0
_MESSAGES_EVERY = 15.0
_MOST = 500
_ALONE = "SELECT pg_try_advisory_xact_lock(7305808868229341702)"

# A job that is to be taken, or is being run, has its last message in the queue until it is dealt with. Where there is none, as after an
# operator emptied the queue, it gets another one. A job that is just ending has been let go of by its worker before its message goes.
_RESEND = """
WITH missing AS (
    SELECT d.job_id FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
    WHERE j.completed_at IS NULL AND j.status IN ('queued', 'running') AND NOT d.parked
      AND NOT EXISTS (
        SELECT FROM queue.pgqueuer q
        WHERE q.dedupe_key = 'job:' || d.job_id || ':' || d.sent AND q.status IN ('queued', 'picked')
      )
    LIMIT $1
), held AS MATERIALIZED (
    SELECT m.job_id FROM missing m
    CROSS JOIN LATERAL (SELECT 1 FROM execution_jobs WHERE id = m.job_id AND status IN ('queued', 'running') FOR UPDATE SKIP LOCKED) j
)
UPDATE job_details d SET sent = d.sent + 1 FROM held h WHERE d.job_id = h.job_id AND NOT d.parked
RETURNING d.job_id, d.worker_pool, d.priority, d.sent
"""


class JobSweeper:
    """Sweeps once a second; `run` is its loop, in every worker."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._messages_due = 0.0

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.run_once()
            except Unavailable:
                log.debug("jobs.sweep_waits")

    async def run_once(self) -> None:
        """One sweep, unless another process is at it. Raises Unavailable."""
        due = time.monotonic() >= self._messages_due
        async with self._db.transaction() as connection:
            if not await connection.fetchval(_ALONE):
                return
            woken = await wake_missed(connection)
            resent = await resend(connection) if due else 0
        if due:
            self._messages_due = time.monotonic() + _MESSAGES_EVERY
        if woken or resent:
            log.info("jobs.swept", woken=woken, resent=resent)


async def resend(connection: Connection) -> int:
    """Give jobs a message whose last one is gone; how many there were."""
    rows = await connection.fetch(_RESEND, _MOST)
    await enqueue(connection, messages_of(rows))
    return len(rows)
