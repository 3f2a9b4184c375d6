"""Every statement on the table of OpenAPI tools; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.tools.openapi.rows import OpenApiTools

_COLUMNS = "id, name, sha256, server_url, operations, headers, timeout_seconds, compiled, created_at, updated_at, is_active"

_INSERT = f"""
INSERT INTO openapi_tools (id, name, sha256, server_url, operations, headers, timeout_seconds, compiled, document)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING {_COLUMNS}
"""
_UPDATE = f"""
UPDATE openapi_tools
   SET name = $2, sha256 = $3, server_url = $4, operations = $5, headers = $6, timeout_seconds = $7, compiled = $8,
       document = coalesce($9, document), is_active = $10, updated_at = clock_timestamp()
 WHERE id = $1
RETURNING {_COLUMNS}
"""
_LIST = f"SELECT {_COLUMNS} FROM openapi_tools WHERE (is_active OR $1::boolean) AND id > $2 ORDER BY id LIMIT $3"


async def insert(connection: Connection, tools: OpenApiTools, document: str) -> OpenApiTools | None:
    """The new row, or None where the id is taken, also by a deleted one."""
    row = await connection.fetchrow(_INSERT, *_values(tools), document)
    return OpenApiTools.of(row) if row else None


async def update(connection: Connection, tools: OpenApiTools, document: str | None = None) -> OpenApiTools:
    """The row as it is stored now, with another document if one is given; the caller has locked it."""
    row = await connection.fetchrow(_UPDATE, *_values(tools), document, tools.is_active)
    assert row is not None
    return OpenApiTools.of(row)


async def lock(connection: Connection, tools_id: str) -> OpenApiTools | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM openapi_tools WHERE id = $1 FOR UPDATE", tools_id)
    return OpenApiTools.of(row) if row else None


async def find(connection: Connection, tools_id: str) -> OpenApiTools | None:
    """An active one."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM openapi_tools WHERE id = $1 AND is_active", tools_id)
    return OpenApiTools.of(row) if row else None


async def find_document(connection: Connection, tools_id: str) -> str | None:
    """The document of one, active or not, as canonical JSON."""
    return await connection.fetchval("SELECT document FROM openapi_tools WHERE id = $1", tools_id)


async def find_all(connection: Connection, ids: Sequence[str]) -> dict[str, OpenApiTools]:
    """The active ones among these, by id."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM openapi_tools WHERE id = ANY ($1::varchar[]) AND is_active", list(ids))
    return {row["id"]: OpenApiTools.of(row) for row in rows}


async def hold_operations(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The operations of the active ones among these, which nobody changes until the transaction ends."""
    statement = "SELECT id, operations FROM openapi_tools WHERE id = ANY ($1::varchar[]) AND is_active ORDER BY id FOR SHARE"
    rows = await connection.fetch(statement, list(ids))
    return {row["id"]: tuple(row["operations"]) for row in rows}


async def list_ids(connection: Connection, most: int) -> list[str]:
    """Ids of active ones."""
    rows = await connection.fetch("SELECT id FROM openapi_tools WHERE is_active ORDER BY id LIMIT $1", most)
    return [row["id"] for row in rows]


async def list_page(connection: Connection, *, include_inactive: bool, after: str | None, limit: int) -> list[OpenApiTools]:
    """By id."""
    rows = await connection.fetch(_LIST, include_inactive, after or "", limit)
    return [OpenApiTools.of(row) for row in rows]


def _values(tools: OpenApiTools) -> tuple[object, ...]:
    return (
        tools.id,
        tools.name,
        tools.sha256,
        tools.server_url,
        list(tools.operations),
        json_text.encode(tools.headers),
        tools.timeout_seconds,
        msgspec.json.encode(tools.compiled).decode(),
    )
