"""Rows of the catalogue: engines and targets."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Record

EngineType = Literal["code_agent", "managed_agent", "direct_ops", "custom"]
TargetType = Literal["local", "docker", "kubernetes", "ssh", "remote_service", "managed_agents"]


class ExecutionEngine(msgspec.Struct, frozen=True):
    """How work is done. `handler_config` is as `handlers` reads it."""

    id: str
    name: str
    type: EngineType
    provider: str
    handler_config: dict[str, Any]
    description: str | None
    is_default: bool
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> ExecutionEngine:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__}
        return cls(**{**columns, "handler_config": json_text.decode(row["handler_config"])})


class ExecutionTarget(msgspec.Struct, frozen=True):
    """Where work runs. `connection_config` and `capacity` are as `connections` reads them."""

    id: str
    name: str
    type: TargetType
    connection_config: dict[str, Any]
    capacity: dict[str, Any]
    worker_pool: str
    created_at: dt.datetime
    updated_at: dt.datetime
    is_active: bool

    @classmethod
    def of(cls, row: Record) -> ExecutionTarget:
        """From a row that has its columns, and perhaps others."""
        columns = {name: row[name] for name in cls.__struct_fields__}
        json = {name: json_text.decode(row[name]) for name in ("connection_config", "capacity")}
        return cls(**{**columns, **json})
