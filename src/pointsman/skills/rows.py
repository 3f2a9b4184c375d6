"""Rows of skills: the newest version, every version, the files of one, and what a run pins."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record


class Skill(msgspec.Struct, frozen=True):
    """The newest version of a skill, without its files."""

    id: str
    name: str
    description: str | None
    instructions: str
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool
    version: int

    @classmethod
    def of(cls, row: Record) -> Skill:
        """From what a statement returned."""
        return cls(**_decoded(row, "allowed_tools", "tags"))


class SkillVersion(msgspec.Struct, frozen=True):
    """What a skill was at one version; written once, never changed."""

    skill_id: str
    version: int
    name: str
    description: str | None
    instructions: str
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    license: str | None
    compatibility: str | None
    metadata: dict[str, str]
    created_at: dt.datetime
    created_by: str | None

    @classmethod
    def of(cls, row: Record) -> SkillVersion:
        """From what a statement returned."""
        return cls(**_decoded(row, "allowed_tools", "tags", "metadata"))


class PinnedSkill(msgspec.Struct, frozen=True):
    """A skill at the version that a run works with; stored in `run_snapshots`, hence part of the database's contract.

    `name` is what the model calls it, `scripts` the SHA-256 of each script in hex, by its path below the skill's folder.
    """

    id: str
    name: str
    description: str
    version: int
    allowed_tools: tuple[str, ...] = ()
    scripts: dict[str, str] = {}


def _decoded(row: Record, *names: str) -> dict[str, Any]:
    return {**row, **{name: json_text.decode(row[name]) for name in names}}
