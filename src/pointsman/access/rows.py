"""Rows of API keys: the key and its lineage."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record


class ApiKey(msgspec.Struct, frozen=True):
    """A key, of which only the SHA-256 is kept; `rate_limit` is requests per hour, 0 for unlimited."""

    id: int
    key_hash: str
    name: str
    owner_id: str | None
    scopes: list[str]
    rate_limit: int
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    is_active: bool
    created_at: dt.datetime
    updated_at: dt.datetime

    @classmethod
    def of(cls, row: Record) -> ApiKey:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__}
        return cls(**{**columns, "scopes": json_text.decode(row["scopes"])})


class KeyLineage(msgspec.Struct, frozen=True):
    """Which key a key was rotated from: the family shares one hourly limit, so that a rotation doubles nothing."""

    key_id: int
    family_id: int
    made_by: int | None
    hint: str

    @classmethod
    def of(cls, row: Record) -> KeyLineage:
        """From a row that has its columns, and perhaps others."""
        return cls(*(row[name] for name in cls.__struct_fields__))


class StoredKey(NamedTuple):
    """A key with its lineage; None for a row that something else than this service has inserted."""

    key: ApiKey
    lineage: KeyLineage | None

    @property
    def family_id(self) -> int:
        """The family whose hourly window the key uses."""
        return self.lineage.family_id if self.lineage else self.key.id

    @classmethod
    def of(cls, row: Record) -> StoredKey:
        """From a row of both tables."""
        return cls(ApiKey.of(row), None if row["key_id"] is None else KeyLineage.of(row))


class NewKey(NamedTuple):
    """What is said of a key when it is made."""

    key_hash: str
    name: str
    owner_id: str | None
    scopes: list[str]
    rate_limit: int
    expires_at: dt.datetime | None
