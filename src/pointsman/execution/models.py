"""Tables of execution engines and targets."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, String, Text, false, func, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps


class ExecutionEngine(Timestamps, Base):
    """How work is done; at most one live engine is the default."""

    __tablename__ = "execution_engines"
    __table_args__ = (
        CheckConstraint("type IN ('code_agent', 'managed_agent', 'direct_ops', 'custom')", name="type"),
        Index("uq_execution_engines_default", "is_default", unique=True, postgresql_where=text("is_default AND is_active")),
    )

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    type: Mapped[str] = mapped_column(String)
    provider: Mapped[str] = mapped_column(String, server_default="anthropic")
    handler_config: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    description: Mapped[str | None] = mapped_column(Text)
    is_default: Mapped[bool] = mapped_column(Boolean, server_default=false())
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class ExecutionTarget(Timestamps, Base):
    """Where work runs."""

    __tablename__ = "execution_targets"
    __table_args__ = (CheckConstraint("type IN ('local', 'docker', 'kubernetes', 'ssh', 'remote_service', 'managed_agents')", name="type"),)

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    type: Mapped[str] = mapped_column(String)
    connection_config: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    capacity: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    worker_pool: Mapped[str] = mapped_column(String, server_default="linux_worker_pool")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class Worker(Base):
    """A process that does jobs, as it last said; `isolation` is what keeps local work apart on its host. Nothing is decided by it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(String(64))
    worker_pool: Mapped[str] = mapped_column(String(255))
    slots: Mapped[int] = mapped_column(Integer)
    isolation: Mapped[str | None] = mapped_column(String(64))
    draining: Mapped[bool] = mapped_column(Boolean, server_default=false())
    started_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    seen_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
