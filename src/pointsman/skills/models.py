"""The table of skills."""

from __future__ import annotations

from sqlalchemy import Boolean, String, Text, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, JsonVarchar, Timestamps


class Skill(Timestamps, Base):
    """Reusable instructions with files."""

    __tablename__ = "skills"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    instructions: Mapped[str] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String)
    references: Mapped[list[dict[str, str]]] = mapped_column(JsonText, server_default="[]")
    scripts: Mapped[list[dict[str, str]]] = mapped_column(JsonText, server_default="[]")
    allowed_tools: Mapped[list[str]] = mapped_column(JsonText, server_default="[]")
    tags: Mapped[list[str]] = mapped_column(JsonVarchar, server_default="[]")
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
