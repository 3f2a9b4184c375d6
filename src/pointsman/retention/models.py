"""The table of retention: how far each kind has been swept."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class RetentionMark(Base):
    """Where the sweep of a kind goes on (JSON; null: from the beginning), and when the next batch is due."""

    __tablename__ = "retention_marks"

    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    place: Mapped[str | None] = mapped_column(Text)
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
