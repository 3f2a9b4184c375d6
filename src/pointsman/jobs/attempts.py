"""The statements on attempts that choosing, watching and reaping need; what begins and ends them is in `jobs`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from pointsman.kit.db import Connection

Attempt = tuple[uuid.UUID, int]
"""A job and an epoch."""

_RUNNING = """
SELECT a.job_id, a.epoch, d.cancel_requested
  FROM unnest($1::uuid[], $2::int[]) AS asked (job_id, epoch)
  JOIN job_attempts a ON a.job_id = asked.job_id AND a.epoch = asked.epoch AND a.status = 'running'
  JOIN job_details d ON d.job_id = a.job_id
"""
_COUNT = "SELECT target_id, count(*) AS running FROM job_attempts WHERE status = 'running' GROUP BY target_id"


async def find_running(connection: Connection, attempts: Iterable[Attempt]) -> dict[Attempt, bool]:
    """Those of the attempts that are running, each with whether its job is to be cancelled."""
    asked = list(attempts)
    rows = await connection.fetch(_RUNNING, [job for job, _ in asked], [epoch for _, epoch in asked])
    return {(row["job_id"], row["epoch"]): row["cancel_requested"] for row in rows}


async def count_running(connection: Connection) -> Mapping[str, int]:
    """How many attempts run on each target that has any."""
    return {row["target_id"]: row["running"] for row in await connection.fetch(_COUNT)}
