"""Tables of the edge: requests that carry an Idempotency-Key, and the canary that tells a wrong key ring."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Index, Integer, LargeBinary, SmallInteger, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class IdempotentRequest(Base):
    """A request that may be repeated; the stored answer is encrypted, `lease_until` frees the record of a process that died."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_created_at", "created_at"),)

    tenant_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    key_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    method: Mapped[str] = mapped_column(String(10), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    run_id: Mapped[str] = mapped_column(String(64))
    holder: Mapped[str] = mapped_column(String(64))
    lease_until: Mapped[dt.datetime]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    answer: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class KeyCanary(Base):
    """A ciphertext that the right key ring can read; one row."""

    __tablename__ = "key_canary"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    token: Mapped[str] = mapped_column(Text)
