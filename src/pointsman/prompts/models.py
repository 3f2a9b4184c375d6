"""Tables of prompts: the newest version, every version, and the labels that point at versions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Boolean, ForeignKey, ForeignKeyConstraint, Integer, String, Text, func, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, Timestamps


class Prompt(Timestamps, Base):
    """The newest version of a prompt."""

    __tablename__ = "prompts"
    __table_args__ = ({"schema": "prompts"},)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    template: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JsonText, server_default="[]")
    tools: Mapped[list[dict[str, Any]]] = mapped_column(JsonText, server_default="[]")
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())


class PromptVersion(Base):
    """What a prompt was at one version; written once, never changed."""

    __tablename__ = "prompt_versions"
    __table_args__ = ({"schema": "prompts"},)

    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.prompts.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    template: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JsonText, server_default="[]")
    tools: Mapped[list[dict[str, Any]]] = mapped_column(JsonText, server_default="[]")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str | None] = mapped_column(String(255))


class PromptLabel(Base):
    """A name such as `production` that points at a version."""

    __tablename__ = "prompt_labels"
    __table_args__ = (
        ForeignKeyConstraint(
            ["prompt_id", "version"], ["prompts.prompt_versions.prompt_id", "prompts.prompt_versions.version"], ondelete="CASCADE"
        ),
        {"schema": "prompts"},
    )

    prompt_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    label: Mapped[str] = mapped_column(String(255), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
