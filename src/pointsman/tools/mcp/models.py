"""Tables of MCP servers: those that are reached over HTTP, and what was approved of any."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Float, String, Text, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, Timestamps


class McpServer(Timestamps, Base):
    """A server that is reached over HTTP; `headers` name credentials and hold none. Those with a command are in the settings alone."""

    __tablename__ = "mcp_servers"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    headers: Mapped[dict[str, str]] = mapped_column(JsonText, server_default="{}")
    connect_seconds: Mapped[float] = mapped_column(Float)
    call_seconds: Mapped[float] = mapped_column(Float)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class McpPin(Base):
    """What an operator approved of a server's tools, and what was last seen of it that differs.

    By type too: a name in the settings and a row with the same id are two servers.
    """

    __tablename__ = "mcp_pins"
    __table_args__ = (CheckConstraint("type IN ('http', 'stdio')", name="type"),)

    type: Mapped[str] = mapped_column(String(10), primary_key=True)
    server_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    tools: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonText)
    sha256: Mapped[str | None] = mapped_column(String(64))
    approved_by: Mapped[str | None] = mapped_column(String(255))
    approved_at: Mapped[dt.datetime | None]
    proposal: Mapped[list[dict[str, Any]] | None] = mapped_column(JsonText)
    proposal_sha256: Mapped[str | None] = mapped_column(String(64))
    proposed_at: Mapped[dt.datetime | None]
