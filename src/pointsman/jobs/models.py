"""Tables of jobs: the job, what its row has no column for, its attempts, events and workspaces, and what was learned about memory."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class ExecutionJob(Base):
    """The unit of dispatched work."""

    __tablename__ = "execution_jobs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('queued', 'running', 'awaiting_approval', 'completed', 'failed', 'oom', 'failed_circuit_open')", name="status"
        ),
        Index("ix_execution_jobs_supervisor_run_id", "supervisor_run_id", postgresql_where=text("supervisor_run_id IS NOT NULL")),
        # Ended jobs in the order in which they expire.
        Index("ix_execution_jobs_completed_at_id", "completed_at", "id", postgresql_where=text("completed_at IS NOT NULL")),
        Index("ix_execution_jobs_live", "id", postgresql_where=text("completed_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()"))
    supervisor_run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("supervisor_runs.id"))
    worker_config: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    prompt: Mapped[str] = mapped_column(Text)
    execution_target: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(String, server_default="queued")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    container_id: Mapped[str | None] = mapped_column(String)
    target_host: Mapped[str | None] = mapped_column(String)
    retry_count: Mapped[int] = mapped_column(Integer, server_default="0")
    memory_limit_mb: Mapped[int | None] = mapped_column(Integer)
    last_failure_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    timeout_at: Mapped[dt.datetime | None]


class JobDetails(Base):
    """Whose a job is, what was asked for, and where its life has come to.

    `epoch` counts attempts: it is raised by each claim and is in every write of the attempt, so that whoever was presumed dead commits
    nothing. `failures` are the attempts that count against `max_attempts`, `losses` those that died with their worker. `sent` counts the
    messages that the queue was given. A parked job has no message: it waits for a slot of `parked_on`, of which there were `parked_limit`.
    Times in seconds, memory in MB (2^20 bytes).
    """

    __tablename__ = "job_details"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        Index("uq_job_details_ordinal", "ordinal", unique=True),
        Index("ix_job_details_tenant", "tenant_id", "ordinal"),
        Index("ix_job_details_run_id", "run_id", postgresql_where=text("run_id IS NOT NULL")),
        # Who waits for a slot: behind one target, and who could go to any target of a pool.
        Index("ix_job_details_parked_on", "parked_on", text("priority DESC"), "ordinal", postgresql_where=text("parked")),
        Index(
            "ix_job_details_parked_pool",
            "worker_pool",
            text("priority DESC"),
            "ordinal",
            postgresql_where=text("parked AND target_id IS NULL"),
        ),
        # Most of a job's changes then stay on its page.
        {"postgresql_with": {"fillfactor": "60"}},
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution_jobs.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[str] = mapped_column(String(255))
    key_id: Mapped[int | None] = mapped_column(Integer)
    user_id: Mapped[str | None] = mapped_column(String(255))
    agent_id: Mapped[str | None] = mapped_column(String(255))
    run_id: Mapped[str | None] = mapped_column(String(64))
    engine_id: Mapped[str | None] = mapped_column(String(255))
    target_id: Mapped[str | None] = mapped_column(String(255))
    worker_pool: Mapped[str] = mapped_column(String(255))
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    kind: Mapped[str] = mapped_column(String(300))
    job_spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    epoch: Mapped[int] = mapped_column(Integer, server_default="0")
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    losses: Mapped[int] = mapped_column(Integer, server_default="0")
    max_attempts: Mapped[int] = mapped_column(Integer)
    life: Mapped[int] = mapped_column(Integer, server_default="0")
    most_memory_mb: Mapped[int] = mapped_column(Integer)
    timeout_seconds: Mapped[float] = mapped_column(Double)
    remaining_seconds: Mapped[float | None] = mapped_column(Double)
    explicit_memory: Mapped[bool] = mapped_column(Boolean, server_default=false())
    not_before: Mapped[dt.datetime | None]
    retry_at: Mapped[dt.datetime | None]
    parked: Mapped[bool] = mapped_column(Boolean, server_default=false())
    parked_on: Mapped[str | None] = mapped_column(String(255))
    parked_limit: Mapped[int | None] = mapped_column(Integer)
    sent: Mapped[int] = mapped_column(Integer, server_default="0")
    last_seq: Mapped[int] = mapped_column(Integer, server_default="0")
    output_bytes: Mapped[int] = mapped_column(Integer, server_default="0")
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=false())
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class JobAttempt(Base):
    """One attempt at a job; `epoch` is its number too. At most one of a job is running."""

    __tablename__ = "job_attempts"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'completed', 'failed', 'oom', 'lost', 'paused', 'open')", name="status"),
        Index("uq_job_attempts_running", "job_id", unique=True, postgresql_where=text("status = 'running'")),
        # What capacity is counted by.
        Index("ix_job_attempts_running_target", "target_id", postgresql_where=text("status = 'running'")),
        Index("ix_job_attempts_running_pool", "worker_pool", postgresql_where=text("status = 'running'")),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution_jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(String(20), server_default="running")
    worker: Mapped[str] = mapped_column(String(64))
    engine_id: Mapped[str] = mapped_column(String(255))
    target_id: Mapped[str] = mapped_column(String(255))
    worker_pool: Mapped[str] = mapped_column(String(255))
    handle: Mapped[str] = mapped_column(String(100))
    memory_limit_mb: Mapped[int] = mapped_column(Integer)
    peak_memory_mb: Mapped[int | None] = mapped_column(Integer)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str | None] = mapped_column(Text)
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    started_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    ended_at: Mapped[dt.datetime | None]


class JobEvent(Base):
    """Events `seq` to `last_seq` of a job as they were sent, `[[seq, type, data], …]`; plain JSON, whose text never changes."""

    __tablename__ = "job_events"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution_jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    last_seq: Mapped[int] = mapped_column(Integer)
    data: Mapped[list[Any]] = mapped_column(JSON)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class JobWorkspace(Base):
    """A tar of a job's files: `in` it begins with, `checkpoint` it goes on with, `out` it left."""

    __tablename__ = "job_workspaces"
    __table_args__ = (CheckConstraint("kind IN ('in', 'checkpoint', 'out')", name="kind"),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("execution_jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class JobMemory(Base):
    """At which size a tenant's jobs of a kind start on an engine, in MB.

    `clean_runs` counts those since that did not run out of memory, `most_seen_mb` is the most that any of them used.
    """

    __tablename__ = "job_memory"

    tenant_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    engine_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(300), primary_key=True)
    memory_mb: Mapped[int] = mapped_column(Integer)
    clean_runs: Mapped[int] = mapped_column(Integer, server_default="0")
    most_seen_mb: Mapped[int] = mapped_column(Integer, server_default="0")
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
