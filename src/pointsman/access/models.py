"""Tables of API keys: the key, its lineage and its hourly window."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, String, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, Timestamps


class ApiKey(Timestamps, Base):
    """A key, of which only the SHA-256 is kept; `rate_limit` is requests per hour, 0 for unlimited."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_key_hash", "key_hash", unique=True),
        CheckConstraint("rate_limit >= 0", name="rate_limit"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    owner_id: Mapped[str | None] = mapped_column(String(255))
    scopes: Mapped[list[str]] = mapped_column(JsonText)
    rate_limit: Mapped[int] = mapped_column(Integer, server_default="0")
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class KeyLineage(Base):
    """Which key a key was rotated from: the family shares one hourly limit, so that a rotation doubles nothing."""

    __tablename__ = "api_key_lineage"

    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True)
    family_id: Mapped[int] = mapped_column(Integer)
    made_by: Mapped[int | None] = mapped_column(Integer)
    hint: Mapped[str] = mapped_column(String(16))


class RateWindow(Base):
    """The open window of a key family: when its first request came, and how many were counted since."""

    __tablename__ = "rate_windows"

    family_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    started_at: Mapped[dt.datetime]
    used: Mapped[int] = mapped_column(Integer)
