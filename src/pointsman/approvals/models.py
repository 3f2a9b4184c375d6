"""The table of approvals."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class Approval(Base):
    """A call that waits, or waited, for somebody's decision.

    It belongs to a run, to a job, or to a job of a run, and goes with either. `step` numbers the model's answer that asks, since
    providers may number their calls anew in each. `args_sha256` is of the arguments as they were shown; `rules` and `parameters` are what
    edited ones are held to.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'approved', 'denied', 'expired', 'cancelled')", name="status"),
        CheckConstraint("risk_level IN ('low', 'medium', 'high')", name="risk_level"),
        CheckConstraint("run_id IS NOT NULL OR job_id IS NOT NULL", name="owner"),
        CheckConstraint("(status IN ('pending', 'cancelled')) = (decided_at IS NULL)", name="decided"),
        # Asking again for the same call finds the row that is there.
        Index("uq_approvals_run_call", "run_id", "step", "call_id", unique=True, postgresql_where=text("job_id IS NULL")),
        Index("uq_approvals_job_call", "job_id", "step", "call_id", unique=True, postgresql_where=text("job_id IS NOT NULL")),
        Index("uq_approvals_ordinal", "ordinal", unique=True),
        Index("ix_approvals_tenant_ordinal", "tenant_id", "ordinal"),
        Index("ix_approvals_run_ordinal", "run_id", "ordinal"),
        Index("ix_approvals_pending", "expires_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str | None] = mapped_column(String(255))
    key_id: Mapped[int | None] = mapped_column(Integer)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("execution_jobs.id", ondelete="CASCADE"))
    step: Mapped[int] = mapped_column(Integer)
    call_id: Mapped[str] = mapped_column(String(255))
    tool_name: Mapped[str] = mapped_column(String(255))
    tool_args: Mapped[dict[str, Any]] = mapped_column(JSON)
    args_sha256: Mapped[str] = mapped_column(String(64))
    edited_args: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    edited_sha256: Mapped[str | None] = mapped_column(String(64))
    rules: Mapped[dict[str, Any]] = mapped_column(JSON)
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    risk_level: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10), server_default="pending")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[dt.datetime]
    decided_by: Mapped[str | None] = mapped_column(String(255))
    decided_at: Mapped[dt.datetime | None]
    note: Mapped[str | None] = mapped_column(Text)
