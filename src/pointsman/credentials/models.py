"""The table of users' tokens for other systems."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Integer, String, Text, UniqueConstraint, text, true
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
