"""Tables of runs: the run, what it was resolved into, its events, and the replicas that drive runs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, Integer, String, false, func, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class Run(Base):
    """One accepted piece of work. `parent_run_id` is that of the team whose leader gave it to a member.

    `ordinal` orders runs. `epoch` counts its owners: it is raised by each take-over and is in every write, so that whoever was presumed
    dead commits nothing. Event ids up to `reserved_seq` may have left the process that drives the run.
    """

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("kind IN ('chat', 'team', 'supervised')", name="kind"),
        CheckConstraint("status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')", name="status"),
        Index("uq_runs_ordinal", "ordinal", unique=True),
        Index("ix_runs_tenant", "tenant_id", "ordinal"),
        Index("ix_runs_session", "tenant_id", "session_id", "ordinal"),
        # One turn of a session at a time: the second is refused, never mixed into the first.
        Index(
            "uq_runs_session_live",
            "tenant_id",
            "session_id",
            unique=True,
            postgresql_where=text("status IN ('pending', 'running', 'paused')"),
        ),
        # Ended runs in the order in which they expire, and the runs of a snapshot.
        Index("ix_runs_completed_at_ordinal", "completed_at", "ordinal", postgresql_where=text("completed_at IS NOT NULL")),
        Index("ix_runs_snapshot", "snapshot"),
        Index("ix_runs_parent", "parent_run_id", postgresql_where=text("parent_run_id IS NOT NULL")),
        Index("ix_runs_live", "replica", postgresql_where=text("status = 'running'")),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(20))
    session_id: Mapped[str] = mapped_column(String(255))
    parent_run_id: Mapped[str | None] = mapped_column(String(64))
    user_id: Mapped[str | None] = mapped_column(String(255))
    key_id: Mapped[int | None] = mapped_column(Integer)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    snapshot: Mapped[str] = mapped_column(ForeignKey("run_snapshots.hash"))
    stream_verbosity: Mapped[str] = mapped_column(String(10), server_default="events")
    replica: Mapped[str | None] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(Integer, server_default="1")
    reserved_seq: Mapped[int] = mapped_column(Integer)
    resumptions: Mapped[int] = mapped_column(Integer, server_default="0")
    resumed_epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=false())
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    completed_at: Mapped[dt.datetime | None]


class RunSnapshot(Base):
    """What a subject was resolved into when a run began (prompt text, model, tools), kept once per distinct content.

    `created_at` is when it was last stored.
    """

    __tablename__ = "run_snapshots"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class RunEvent(Base):
    """Events `seq` to `last_seq` of a run as they were sent, `[[seq, type, data], …]`; plain JSON, whose text never changes."""

    __tablename__ = "run_events"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_seq: Mapped[int] = mapped_column(Integer)
    data: Mapped[list[Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class Replica(Base):
    """A process that drives runs; `seen_at` is beaten by the database's clock."""

    __tablename__ = "replicas"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
