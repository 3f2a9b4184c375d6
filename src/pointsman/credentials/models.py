"""Tables of users' tokens for other systems, and of how those are kept fresh."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ARRAY, Boolean, CheckConstraint, ForeignKey, Integer, String, Text, UniqueConstraint, text, true
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
