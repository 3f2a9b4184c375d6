"""Every statement on the tables of engines and targets; returns rows or None."""

from __future__ import annotations

from typing import Any

from pointsman.execution.rows import EngineType, ExecutionEngine, ExecutionTarget, TargetType
from pointsman.kit import json_text
from pointsman.kit.db import Connection

# Changes of the catalogue are rare, and which engine is the default concerns two rows at once.
_CHANGES_LOCK = 7_305_808_868_229_341_901
_ENGINE = "id, name, type, provider, handler_config, description, is_default, created_at, updated_at, is_active"
_TARGET = "id, name, type, connection_config, capacity, worker_pool, created_at, updated_at, is_active"

_INSERT_ENGINE = f"""
INSERT INTO execution_engines (id, name, type, provider, handler_config, description, is_default) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING {_ENGINE}
"""
_UPDATE_ENGINE = f"""
UPDATE execution_engines
   SET name = $2, type = $3, provider = $4, handler_config = $5, description = $6, is_default = $7, is_active = $8,
       updated_at = clock_timestamp()
 WHERE id = $1
RETURNING {_ENGINE}
"""
_LIST_ENGINES = f"""
SELECT {_ENGINE} FROM execution_engines
 WHERE (is_active OR $1::boolean) AND ($2::text IS NULL OR type = $2) AND id > $3 ORDER BY id LIMIT $4
"""
_INSERT_TARGET = f"""
INSERT INTO execution_targets (id, name, type, connection_config, capacity, worker_pool) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING {_TARGET}
"""
_UPDATE_TARGET = f"""
UPDATE execution_targets
   SET name = $2, type = $3, connection_config = $4, capacity = $5, worker_pool = $6, is_active = $7, updated_at = clock_timestamp()
 WHERE id = $1
RETURNING {_TARGET}
"""
_LIST_TARGETS = f"""
SELECT {_TARGET} FROM execution_targets
 WHERE (is_active OR $1::boolean) AND ($2::text IS NULL OR type = $2) AND ($3::text IS NULL OR worker_pool = $3) AND id > $4
 ORDER BY id LIMIT $5
"""


async def lock_changes(connection: Connection) -> None:
    """Until the transaction ends, nobody else changes an engine."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _CHANGES_LOCK)


async def insert_engine(
    connection: Connection,
    engine_id: str,
    *,
    name: str,
    type: EngineType,  # noqa: A002 - the column's name
    provider: str,
    handler_config: dict[str, Any],
    description: str | None,
    is_default: bool,
) -> ExecutionEngine | None:
    """The new row, or None where the id is taken, also by a deleted engine."""
    config = json_text.encode(handler_config)
    row = await connection.fetchrow(_INSERT_ENGINE, engine_id, name, type, provider, config, description, is_default)
    return ExecutionEngine.of(row) if row else None


async def update_engine(connection: Connection, engine: ExecutionEngine) -> ExecutionEngine:
    """The row as it is stored now; the caller has locked it. `updated_at` moves."""
    row = await connection.fetchrow(
        _UPDATE_ENGINE,
        engine.id,
        engine.name,
        engine.type,
        engine.provider,
        json_text.encode(engine.handler_config),
        engine.description,
        engine.is_default,
        engine.is_active,
    )
    assert row is not None
    return ExecutionEngine.of(row)


async def lock_engine(connection: Connection, engine_id: str) -> ExecutionEngine | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {_ENGINE} FROM execution_engines WHERE id = $1 FOR UPDATE", engine_id)
    return ExecutionEngine.of(row) if row else None


async def find_engine(connection: Connection, engine_id: str) -> ExecutionEngine | None:
    """An active engine."""
    row = await connection.fetchrow(f"SELECT {_ENGINE} FROM execution_engines WHERE id = $1 AND is_active", engine_id)
    return ExecutionEngine.of(row) if row else None


async def find_default_engine(connection: Connection) -> ExecutionEngine | None:
    """The active engine that is used where none is named."""
    row = await connection.fetchrow(f"SELECT {_ENGINE} FROM execution_engines WHERE is_default AND is_active")
    return ExecutionEngine.of(row) if row else None


async def list_engines(
    connection: Connection, *, kind: EngineType | None, include_inactive: bool, after: str | None, limit: int
) -> list[ExecutionEngine]:
    """By id."""
    rows = await connection.fetch(_LIST_ENGINES, include_inactive, kind, after or "", limit)
    return [ExecutionEngine.of(row) for row in rows]


async def find_agent_config(connection: Connection, agent_id: str) -> dict[str, Any] | None:
    """The config of a worker agent, a deleted one's too: its jobs go on."""
    config = await connection.fetchval("SELECT config FROM agent_info WHERE id = $1", agent_id)
    return json_text.decode(config) if config else None


async def insert_target(
    connection: Connection,
    target_id: str,
    *,
    name: str,
    type: TargetType,  # noqa: A002 - the column's name
    connection_config: dict[str, Any],
    capacity: dict[str, Any],
    worker_pool: str,
) -> ExecutionTarget | None:
    """The new row, or None where the id is taken, also by a deleted target."""
    configs = json_text.encode(connection_config), json_text.encode(capacity)
    row = await connection.fetchrow(_INSERT_TARGET, target_id, name, type, *configs, worker_pool)
    return ExecutionTarget.of(row) if row else None


async def update_target(connection: Connection, target: ExecutionTarget) -> ExecutionTarget:
    """The row as it is stored now; the caller has locked it. `updated_at` moves."""
    row = await connection.fetchrow(
        _UPDATE_TARGET,
        target.id,
        target.name,
        target.type,
        json_text.encode(target.connection_config),
        json_text.encode(target.capacity),
        target.worker_pool,
        target.is_active,
    )
    assert row is not None
    return ExecutionTarget.of(row)


async def lock_target(connection: Connection, target_id: str) -> ExecutionTarget | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {_TARGET} FROM execution_targets WHERE id = $1 FOR UPDATE", target_id)
    return ExecutionTarget.of(row) if row else None


async def find_target(connection: Connection, target_id: str) -> ExecutionTarget | None:
    """An active target."""
    row = await connection.fetchrow(f"SELECT {_TARGET} FROM execution_targets WHERE id = $1 AND is_active", target_id)
    return ExecutionTarget.of(row) if row else None


async def list_targets(
    connection: Connection, *, kind: TargetType | None, worker_pool: str | None, include_inactive: bool, after: str | None, limit: int
) -> list[ExecutionTarget]:
    """By id."""
    rows = await connection.fetch(_LIST_TARGETS, include_inactive, kind, worker_pool, after or "", limit)
    return [ExecutionTarget.of(row) for row in rows]
