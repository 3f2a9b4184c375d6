"""Tables of supervised runs: their story, and what each is about to do."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, LargeBinary, String, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class SupervisorRun(Base):
    """The story of a supervised run."""

    __tablename__ = "supervisor_runs"
    __table_args__ = (CheckConstraint("status IN ('pending', 'running', 'completed', 'failed')", name="status"),)

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    team_id: Mapped[str] = mapped_column(String)
    session_id: Mapped[str | None] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(String)
    user_message: Mapped[str] = mapped_column(Text)
    supervisor_response: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    worker_agent_id: Mapped[str | None] = mapped_column(String)
    execution_engine: Mapped[str | None] = mapped_column(String)
    status: Mapped[str] = mapped_column(String, server_default="pending")
    execution_output: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[dt.datetime | None]


class SupervisorDetails(Base):
    """What a supervised run is about to do; together with the run's messages it is all that a worker needs to go on with it.

    `stage` is what comes next: the leader classifies, jobs are awaited, the leader answers, nothing. `since` is the position of the
    message that the stage began with, `round` counts plans from 0. `step` counts what was committed, which makes repeating a commit
    harmless; `claims` the times that a worker took the run up and died. While a model is being asked, `asked_model` and `asked_tokens`
    say for what: should its worker die, the call is counted by estimate. `worker` is the process that has the run in hand.
    """

    __tablename__ = "supervisor_details"
    __table_args__ = (
        CheckConstraint("stage IN ('classify', 'jobs', 'answer', 'ended')", name="stage"),
        Index("uq_supervisor_details_supervisor_run_id", "supervisor_run_id", unique=True),
        Index("ix_supervisor_details_live", "tenant_id", postgresql_where=text("stage <> 'ended'")),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    supervisor_run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("supervisor_runs.id"))
    tenant_id: Mapped[str] = mapped_column(String(255))
    stage: Mapped[str] = mapped_column(String(20), server_default="classify")
    since: Mapped[int] = mapped_column(Integer, server_default="0")
    round: Mapped[int] = mapped_column(Integer, server_default="0")
    step: Mapped[int] = mapped_column(Integer, server_default="0")
    claims: Mapped[int] = mapped_column(Integer, server_default="0")
    asked_model: Mapped[str | None] = mapped_column(String(255))
    asked_tokens: Mapped[int | None] = mapped_column(Integer)
    worker: Mapped[str | None] = mapped_column(String(64))
    deadline_at: Mapped[dt.datetime]
    workspace: Mapped[bytes | None] = mapped_column(LargeBinary)
