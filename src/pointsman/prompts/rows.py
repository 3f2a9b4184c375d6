"""Rows of prompts: the newest version, every version, and the labels that point at versions."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record


class Prompt(msgspec.Struct, frozen=True):
    """The newest version of a prompt."""

    id: str
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> Prompt:
        """From what a statement returned."""
        return cls(**_decoded(row))


class PromptVersion(msgspec.Struct, frozen=True):
    """What a prompt was at one version; written once, never changed."""

    prompt_id: str
    version: int
    name: str
    template: str
    description: str | None
    tags: list[str]
    tools: list[dict[str, Any]]
    created_at: dt.datetime
    created_by: str | None

    @classmethod
    def of(cls, row: Record) -> PromptVersion:
        """From what a statement returned."""
        return cls(**_decoded(row))


class PromptLabel(msgspec.Struct, frozen=True):
    """A name such as `production` that points at a version."""

    prompt_id: str
    label: str
    version: int
    updated_at: dt.datetime

    @classmethod
    def of(cls, row: Record) -> PromptLabel:
        """From what a statement returned."""
        return cls(**row)


def _decoded(row: Record) -> dict[str, Any]:
    return {**row, "tags": json_text.decode(row["tags"]), "tools": json_text.decode(row["tools"])}
