"""The table of dispatched work."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Integer, String, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class ExecutionJob(Base):
    """The unit of dispatched work."""

    __tablename__ = "execution_jobs"
    __table_args__ = (
        CheckConstraint(
            "status IN ('queued', 'running', 'awaiting_approval', 'completed', 'failed', 'oom', 'failed_circuit_open')", name="status"
        ),
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
