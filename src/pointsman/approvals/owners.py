"""What asks: a run or a job, how it is told of a decision and how it goes on."""

from __future__ import annotations

from typing import Any

from pointsman.approvals.rows import Approval
from pointsman.kit.db import Connection
from pointsman.runs import queries as runs
from pointsman.runs.appending import append


async def tell(connection: Connection, approval: Approval, type_: str, payload: dict[str, Any]) -> None:
    """An event for the readers of the paused run."""
    assert approval.run_id is not None
    await append(connection, approval.run_id, [(type_, payload)])


async def go_on(connection: Connection, approval: Approval) -> None:
    """What it waited for is decided: it goes on from its last recorded step, wherever."""
    assert approval.run_id is not None
    await runs.resume_paused(connection, approval.run_id)
