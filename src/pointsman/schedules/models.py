"""Tables of schedules and of what they set going."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKeyConstraint, Index, Integer, String, func, text, true
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class Schedule(Base):
    """When an agent or a team is asked, and what; `key_id` is the key that made it, in whose name it asks.

    `next_at` is null once it has no next time, or while it is paused.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("subject_type IN ('agent', 'team')", name="subject_type"),
        CheckConstraint("missed IN ('skip', 'once')", name="missed"),
        Index("ix_schedules_next_at", "next_at", postgresql_where=text("is_active AND NOT paused")),
    )

    tenant_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str | None] = mapped_column(String(255))
    subject_type: Mapped[str] = mapped_column(String(10))
    subject_id: Mapped[str] = mapped_column(String(255))
    cron: Mapped[str] = mapped_column(String(255))
    timezone: Mapped[str] = mapped_column(String(64))
    missed: Mapped[str] = mapped_column(String(10))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    user_id: Mapped[str | None] = mapped_column(String(255))
    key_id: Mapped[int] = mapped_column(Integer)
    paused: Mapped[bool] = mapped_column(Boolean)
    next_at: Mapped[dt.datetime | None]
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class ScheduleFire(Base):
    """One time that came: exactly one row, made by whoever saw it first, with the id that its run has.

    `pending` until its run has begun; who begins it holds it until `held_until`, then another may try.
    """

    __tablename__ = "schedule_fires"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "schedule_id"], ["schedules.tenant_id", "schedules.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('pending', 'started', 'skipped', 'failed')", name="status"),
        Index("ix_schedule_fires_pending", "held_until", postgresql_where=text("status = 'pending'")),
        Index("ix_schedule_fires_due_at", "due_at"),
    )

    tenant_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    schedule_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    due_at: Mapped[dt.datetime] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(10))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    held_until: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
