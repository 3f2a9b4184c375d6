"""Tables of erasure: exports that were read to their end, and erasures with how far they are."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, Index, Integer, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class DataExport(Base):
    """An export that was sent to its last line; without a user it is the whole tenant's."""

    __tablename__ = "data_exports"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str | None] = mapped_column(String(255))
    completed_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class Erasure(Base):
    """An erasure that was asked for; a maintenance loop finishes it, `counts` is what it did by kind of row."""

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'completed')", name="status"),
        Index("uq_erasures_running", "tenant_id", text("coalesce(user_id, '')"), unique=True, postgresql_where=text("status = 'running'")),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(10))
    export_id: Mapped[str | None] = mapped_column(String(64))
    requested_by: Mapped[int] = mapped_column(Integer)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    requested_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    completed_at: Mapped[dt.datetime | None]
