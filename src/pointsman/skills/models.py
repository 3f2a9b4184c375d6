"""Tables of skills: the newest version, every version, and the files of each, kept once by their hash."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Boolean, ForeignKey, ForeignKeyConstraint, Integer, LargeBinary, String, Text, func, true
from sqlalchemy.orm import Mapped, mapped_column

from pointsman.kit.orm import Base, JsonText, JsonVarchar, Timestamps


class Skill(Timestamps, Base):
    """Reusable instructions with files, at their newest version."""

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


class SkillVersion(Base):
    """What a skill was at one version; written once, never changed."""

    __tablename__ = "skill_versions"

    skill_id: Mapped[str] = mapped_column(ForeignKey("skills.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    instructions: Mapped[str] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String)
    allowed_tools: Mapped[list[str]] = mapped_column(JsonText, server_default="[]")
    tags: Mapped[list[str]] = mapped_column(JsonText, server_default="[]")
    license: Mapped[str | None] = mapped_column(Text)
    compatibility: Mapped[str | None] = mapped_column(Text)
    extra: Mapped[dict[str, str]] = mapped_column("metadata", JsonText, server_default="{}")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    created_by: Mapped[str | None] = mapped_column(String(255))


class SkillBlob(Base):
    """The content of a file, by the SHA-256 of it in hex."""

    __tablename__ = "skill_blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class SkillFile(Base):
    """A file of a version; `mode` is its permission bits. SKILL.md is among them where it was imported and not edited since."""

    __tablename__ = "skill_files"
    __table_args__ = (
        ForeignKeyConstraint(["skill_id", "version"], ["skill_versions.skill_id", "skill_versions.version"], ondelete="CASCADE"),
    )

    skill_id: Mapped[str] = mapped_column(String, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    mode: Mapped[int] = mapped_column(Integer)
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(ForeignKey("skill_blobs.sha256"))
