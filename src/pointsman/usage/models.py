"""Tables of usage: one row per model call, and what the first schema has no column for."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import Boolean, ForeignKey, Index, Integer, Numeric, Sequence, String, UniqueConstraint, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base

# An INTEGER key lasts a month at 800 calls a second if it starts at 1: the sequence uses the negative half too.
TOKEN_USAGE_IDS = Sequence("token_usage_id_seq", start=-2147483648, minvalue=-2147483648, maxvalue=2147483647, metadata=Base.metadata)


class TokenUsage(Base):
    """The tokens of one model call."""

    __tablename__ = "token_usage"
    __table_args__ = (
        Index("ix_token_usage_created_at", "created_at"),
        Index("ix_token_usage_session_id", "session_id"),
        Index("ix_token_usage_user_id", "user_id", postgresql_where=text("user_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(Integer, TOKEN_USAGE_IDS, primary_key=True, server_default=TOKEN_USAGE_IDS.next_value())
    agent_id: Mapped[str | None] = mapped_column(String)
    session_id: Mapped[str | None] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(String)
    model: Mapped[str] = mapped_column(String)
    prompt_tokens: Mapped[int] = mapped_column(Integer)
    completion_tokens: Mapped[int] = mapped_column(Integer)
    total_tokens: Mapped[int] = mapped_column(Integer)
    is_estimated: Mapped[bool] = mapped_column(Boolean, server_default=false())
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class UsageDetail(Base):
    """Whose call it was, its cached and reasoning tokens, its cost in US dollars and how long it took.

    `call` numbers the model calls of a run from 0: it makes writing the row again after a lost commit harmless.
    """

    __tablename__ = "usage_details"
    __table_args__ = (
        UniqueConstraint("run_id", "call"),
        Index("ix_usage_details_tenant_id", "tenant_id", "usage_id"),
        Index("ix_usage_details_key_id", "key_id"),
    )

    usage_id: Mapped[int] = mapped_column(ForeignKey("token_usage.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[str | None] = mapped_column(String)
    call: Mapped[int] = mapped_column(Integer)
    key_id: Mapped[int | None] = mapped_column(Integer)
    tenant_id: Mapped[str] = mapped_column(String(255), server_default="")
    cached_tokens: Mapped[int] = mapped_column(Integer, server_default="0")
    cache_write_tokens: Mapped[int] = mapped_column(Integer, server_default="0")
    reasoning_tokens: Mapped[int] = mapped_column(Integer, server_default="0")
    cost: Mapped[Decimal | None] = mapped_column(Numeric(18, 9))
    latency_ms: Mapped[int] = mapped_column(Integer)
