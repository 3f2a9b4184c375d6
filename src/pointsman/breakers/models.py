"""The table of circuit breakers."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, Integer, String, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class CircuitBreaker(Base):
    """What has failed lately: an engine, a target or a model. `failures` in a row; `opens` counts the openings since it last worked.

    While it is half open, `probe` is who may try until `probe_until`.
    """

    __tablename__ = "circuit_breakers"
    __table_args__ = (
        CheckConstraint("kind IN ('engine', 'target', 'model')", name="kind"),
        CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state"),
    )

    id: Mapped[str] = mapped_column(String(600), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str] = mapped_column(String(512))
    state: Mapped[str] = mapped_column(String(10), server_default="closed")
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    opens: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    reason: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[dt.datetime | None]
    retry_at: Mapped[dt.datetime | None]
    probe: Mapped[str | None] = mapped_column(String(128))
    probe_until: Mapped[dt.datetime | None]
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
