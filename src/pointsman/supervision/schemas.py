"""Supervised runs on the wire."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from pointsman.chat.schemas import UsageRead
from pointsman.kit.db import Record


class Supervisor(msgspec.Struct, frozen=True):
    """What became of the request: null until the leader has classified it; `jobs` are ids, in the order in which the jobs went out."""

    supervisor_run_id: str
    classification: str | None
    worker_agent_id: str | None
    execution_engine: str | None
    risk_level: str | None
    jobs: tuple[str, ...]

    @classmethod
    def of(cls, row: Record) -> Supervisor:
        """From a row of `queries.describe`."""
        return cls(
            supervisor_run_id=str(row["supervisor_run_id"]),
            classification=row["classification"],
            worker_agent_id=row["worker_agent_id"],
            execution_engine=row["execution_engine"],
            risk_level=row["risk_level"],
            jobs=tuple(str(job) for job in row["jobs"]),
        )


class SupervisedAnswer(msgspec.Struct, frozen=True):
    """How a supervised run ended: a chat's answer, given by the leader, with what was dispatched for it."""

    run_id: str
    session_id: str
    team_id: str
    agent_id: str
    model: str
    status: Literal["completed", "failed", "cancelled"]
    content: str
    output: Any
    usage: UsageRead
    supervisor: Supervisor
    approvals: tuple[Any, ...] = ()
