"""The table of OpenAPI tools."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, Boolean, Integer, String, Text, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, Timestamps


class OpenApiTools(Timestamps, Base):
    """A registered document and what was chosen of it. `compiled` is made of all the others whenever one of them is written.

    `document` is canonical JSON, known by its hash `sha256`; `headers` name credentials and hold none.
    """

    __tablename__ = "openapi_tools"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    document: Mapped[dict[str, Any]] = mapped_column(JsonText)
    sha256: Mapped[str] = mapped_column(String(64))
    server_url: Mapped[str | None] = mapped_column(Text)
    operations: Mapped[list[str]] = mapped_column(ARRAY(String))
    headers: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    timeout_seconds: Mapped[int] = mapped_column(Integer, server_default="30")
    compiled: Mapped[dict[str, Any]] = mapped_column(JsonText)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
