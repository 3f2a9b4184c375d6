"""Tables of webhooks: who is told, over what else the operator is told, and each thing that is to be told to each of them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ARRAY, BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, Integer, String, Text, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base


class WebhookEndpoint(Base):
    """A URL of a tenant's that is told what happens there. Its secrets are encrypted; the previous one signs until `previous_until`.

    `failures` counts attempts that failed since the last that did not: a failing endpoint gets one at a time.
    """

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index("uq_webhook_endpoints_ordinal", "ordinal", unique=True),
        # What every event asks: who of this tenant wants to know.
        Index("ix_webhook_endpoints_listening", "tenant_id", postgresql_where=text("is_active AND enabled")),
        Index("ix_webhook_endpoints_tenant_id", "tenant_id", "ordinal"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[str] = mapped_column(String(255))
    name: Mapped[str | None] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(String))
    encrypted_secret: Mapped[str] = mapped_column(Text)
    encrypted_previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[dt.datetime | None]
    enabled: Mapped[bool] = mapped_column(Boolean, server_default=true())
    disabled_reason: Mapped[str | None] = mapped_column(String(255))
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class NotifyChannel(Base):
    """A channel of the operator's settings over which approvals are told; `id` is derived from its URL, which is kept nowhere."""

    __tablename__ = "notify_channels"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())


class WebhookDelivery(Base):
    """One thing to be told to one endpoint or channel, written by the transaction in which it happened.

    `payload` is the very text that is sent, however often. While an attempt is under way `next_at` is when another may be made: whoever
    dies with it holds it no longer than that. `attempts` numbers it, and is in the write that ends it.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed', 'cancelled')", name="status"),
        CheckConstraint("(endpoint_id IS NULL) <> (channel_id IS NULL)", name="whom"),
        Index("uq_webhook_deliveries_ordinal", "ordinal", unique=True),
        Index("ix_webhook_deliveries_due", "next_at", postgresql_where=text("status = 'pending'")),
        Index("ix_webhook_deliveries_due_endpoint", "endpoint_id", "next_at", postgresql_where=text("status = 'pending'")),
        Index("ix_webhook_deliveries_endpoint_id", "endpoint_id", "ordinal"),
        Index("ix_webhook_deliveries_channel_id", "channel_id", "next_at", postgresql_where=text("channel_id IS NOT NULL")),
        Index("ix_webhook_deliveries_tenant_id", "tenant_id", "user_id"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str | None] = mapped_column(String(255))
    endpoint_id: Mapped[str | None] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    channel_id: Mapped[str | None] = mapped_column(ForeignKey("notify_channels.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(64))
    event_type: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10), server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    completed_at: Mapped[dt.datetime | None]
