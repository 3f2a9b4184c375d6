"""What asks: a run or a job, how it is told of a decision and how it goes on."""

from __future__ import annotations

from typing import Any

from pointsman.approvals.rows import Approval
from pointsman.jobs import service as jobs
from pointsman.kit.db import Connection
from pointsman.runs import queries as runs
from pointsman.runs.appending import append


async def tell(connection: Connection, approval: Approval, type_: str, payload: dict[str, Any]) -> None:
    """An event for the readers of the run or the job."""
    if approval.job_id is not None:
        await jobs.tell(connection, approval.job_id, type_, payload)
        return
    assert approval.run_id is not None
    await append(connection, approval.run_id, [(type_, payload)])


async def go_on(connection: Connection, approval: Approval) -> None:
    """What it waited for is decided: it goes on from its last recorded step, wherever."""
    if approval.job_id is not None:
        await jobs.wake(connection, approval.job_id)
        return
    assert approval.run_id is not None
    await runs.resume_paused(connection, approval.run_id)
