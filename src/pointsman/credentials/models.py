"""Tables of users' tokens for other systems: how they are connected, kept fresh, and by whom they were used."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, Timestamps


class UserToken(Timestamps, Base):
    """A user's credential for another system; the data is Fernet ciphertext of a JSON object."""

    __tablename__ = "user_tokens"
    __table_args__ = (
        UniqueConstraint("user_id", "integration_key"),
        CheckConstraint("token_type IN ('oauth2', 'api_key', 'jwt')", name="token_type"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[str] = mapped_column(String(255))
    integration_key: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str] = mapped_column(String(50))
    token_type: Mapped[str] = mapped_column(String(20))
    encrypted_token_data: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'::varchar[]"))
    expires_at: Mapped[dt.datetime | None]
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class OAuthConnection(Base):
    """How a token is refreshed: who has it in hand until when, how often that came to no known end, and when it may be tried again."""

    __tablename__ = "oauth_connections"
    __table_args__ = (CheckConstraint("status IN ('established', 'reauth_required')", name="status"),)

    token_id: Mapped[int] = mapped_column(
        ForeignKey("user_tokens.id", ondelete="CASCADE", name="fk_oauth_connections_token_id"), primary_key=True, autoincrement=False
    )
    status: Mapped[str] = mapped_column(String(20), server_default=text("'established'"))
    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    epoch: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    asks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    held_until: Mapped[dt.datetime | None]
    retry_at: Mapped[dt.datetime | None]
    refreshed_at: Mapped[dt.datetime | None]


class TokenConnect(Base):
    """A user is to connect an account: who asked for it, which browser is at it, what came of it. Its secrets are hashed or sealed."""

    __tablename__ = "token_connects"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'opened', 'exchanging', 'connected', 'failed')", name="status"),
        Index("ix_token_connects_expires_at", "expires_at"),
        Index("ix_token_connects_user", "tenant_id", "user_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str] = mapped_column(String(255))
    integration_key: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str] = mapped_column(String(50))
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    key_id: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(20), server_default=text("'pending'"))
    start_hash: Mapped[str] = mapped_column(String(64), unique=True)
    state_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    browser_hash: Mapped[str | None] = mapped_column(String(64))
    encrypted_verifier: Mapped[str] = mapped_column(Text, server_default=text("''"))
    failure: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[dt.datetime]


class TokenUse(Base):
    """A credential was used: for whom, in which run, by which tool."""

    __tablename__ = "token_uses"
    __table_args__ = (
        Index("ix_token_uses_token", "tenant_id", "user_id", "integration_key", "id"),
        Index("ix_token_uses_at", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[dt.datetime]
    tenant_id: Mapped[str] = mapped_column(String(255))
    user_id: Mapped[str] = mapped_column(String(255))
    integration_key: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str] = mapped_column(String(50))
    run_id: Mapped[str] = mapped_column(String(255))
    tool: Mapped[str] = mapped_column(String(200))
