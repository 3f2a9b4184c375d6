"""Rows of the log of changes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record


class AuditEntry(msgspec.Struct, frozen=True):
    """One change; `seal_seq`, `prev_hash` and `hash` are None until it is sealed."""

    id: int
    at: dt.datetime
    tenant_id: str
    actor_key_id: int | None
    actor: str
    action: str
    object_type: str
    object_id: str
    detail: dict[str, Any]
    request_id: str | None
    seal_seq: int | None
    prev_hash: str | None
    hash: str | None

    @classmethod
    def of(cls, row: Record) -> AuditEntry:
        """From what a statement returned."""
        return cls(**{**row, "detail": json_text.decode(row["detail"])})
