"""Every statement on MCP servers; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.tools.mcp.rows import Pin, Server, ServerType, Tools, encoded, sha256_of

_SERVER = "id, name, description, url, headers, connect_seconds, call_seconds, is_active, created_at, updated_at"
_PIN = "tools, sha256, approved_by, approved_at, proposal, proposal_sha256, proposed_at"

_INSERT = f"""
INSERT INTO mcp_servers (id, name, description, url, headers, connect_seconds, call_seconds) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING {_SERVER}
"""
_UPDATE = f"""
UPDATE mcp_servers SET name = $2, description = $3, url = $4, headers = $5, connect_seconds = $6, call_seconds = $7, is_active = $8,
       updated_at = clock_timestamp()
 WHERE id = $1 RETURNING {_SERVER}
"""
_LOCK = f"SELECT {_SERVER} FROM mcp_servers WHERE id = $1 FOR UPDATE"
_FIND = f"SELECT {_SERVER} FROM mcp_servers WHERE id = $1 AND is_active"
_READ = f"SELECT {_SERVER} FROM mcp_servers WHERE id = ANY($1::varchar[])"
# By code points, as the ids of the settings are sorted between them.
_LIST = f"""
SELECT {_SERVER} FROM mcp_servers
 WHERE (is_active OR $1::boolean) AND id <> ALL($2::varchar[]) AND id COLLATE "C" > $3 ORDER BY id COLLATE "C" LIMIT $4
"""
_HOLD = "SELECT id FROM mcp_servers WHERE id = ANY($1::varchar[]) AND is_active ORDER BY id FOR SHARE"
_IDS = "SELECT id FROM mcp_servers WHERE is_active ORDER BY id LIMIT $1"
_PINS = f"""
SELECT type, server_id, {_PIN} FROM mcp_pins JOIN unnest($1::varchar[], $2::varchar[]) AS wanted (type, server_id) USING (type, server_id)
"""
_LOCK_PIN = f"SELECT {_PIN} FROM mcp_pins WHERE type = $1 AND server_id = $2 FOR UPDATE"
_MAKE_PIN = "INSERT INTO mcp_pins (type, server_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_PROPOSE = """
UPDATE mcp_pins SET proposal = $3, proposal_sha256 = $4, proposed_at = CASE WHEN $3::text IS NULL THEN NULL ELSE clock_timestamp() END
 WHERE type = $1 AND server_id = $2
"""
_APPROVE = """
UPDATE mcp_pins SET tools = proposal, sha256 = proposal_sha256, approved_by = $3, approved_at = clock_timestamp(), proposal = NULL,
       proposal_sha256 = NULL, proposed_at = NULL
 WHERE type = $1 AND server_id = $2
"""
_FORGET_PIN = "DELETE FROM mcp_pins WHERE type = $1 AND server_id = $2"
_APPROVED = f"""
SELECT type, server_id, {_PIN} FROM mcp_pins
 WHERE tools IS NOT NULL AND (type = 'stdio' OR EXISTS (SELECT FROM mcp_servers WHERE id = server_id AND is_active))
"""

Key = tuple[ServerType, str]


async def insert_server(connection: Connection, server: Server) -> Server | None:
    """The new row, or None where the id is taken, also by a deleted server."""
    row = await connection.fetchrow(_INSERT, *_columns(server))
    return Server.of(row) if row else None


async def update_server(connection: Connection, server: Server) -> Server:
    """The row as it is stored now; the caller has locked it. `updated_at` moves."""
    row = await connection.fetchrow(_UPDATE, *_columns(server), server.is_active)
    assert row is not None
    return Server.of(row)


async def lock_server(connection: Connection, server_id: str) -> Server | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, server_id)
    return Server.of(row) if row else None


async def find_server(connection: Connection, server_id: str) -> Server | None:
    """An active server."""
    row = await connection.fetchrow(_FIND, server_id)
    return Server.of(row) if row else None


async def read_servers(connection: Connection, server_ids: Sequence[str]) -> dict[str, Server]:
    """Those that there are or were, by id."""
    return {row["id"]: Server.of(row) for row in await connection.fetch(_READ, server_ids)}


async def list_servers(
    connection: Connection, *, include_inactive: bool, apart_from: Sequence[str], after: str, limit: int
) -> list[Server]:
    """By id, apart from those that another has the id of."""
    return [Server.of(row) for row in await connection.fetch(_LIST, include_inactive, apart_from, after, limit)]


async def hold_servers(connection: Connection, server_ids: Sequence[str]) -> set[str]:
    """Those of them that are active, which nobody deletes until the transaction ends; others may hold them too."""
    return {row["id"] for row in await connection.fetch(_HOLD, server_ids)}


async def list_ids(connection: Connection, limit: int) -> list[str]:
    """Ids of active servers."""
    return [row["id"] for row in await connection.fetch(_IDS, limit)]


async def read_pins(connection: Connection, keys: Sequence[Key]) -> dict[Key, Pin]:
    """What is pinned of each; an empty pin where nothing is."""
    rows = await connection.fetch(_PINS, [kind for kind, _ in keys], [server_id for _, server_id in keys])
    found: dict[Key, Pin] = {(row["type"], row["server_id"]): Pin.of(row) for row in rows}
    return {key: found.get(key, Pin()) for key in keys}


async def list_approved(connection: Connection) -> dict[Key, Pin]:
    """The pins of all servers of which something is approved; those of a command that is no longer in the settings too."""
    return {(row["type"], row["server_id"]): Pin.of(row) for row in await connection.fetch(_APPROVED)}


async def lock_pin(connection: Connection, key: Key) -> Pin:
    """What is pinned, which nobody else changes until the transaction ends."""
    await connection.execute(_MAKE_PIN, *key)
    row = await connection.fetchrow(_LOCK_PIN, *key)
    assert row is not None
    return Pin.of(row)


async def propose(connection: Connection, key: Key, tools: Tools | None) -> None:
    """This was seen; None: what was seen is what is approved. The pin is locked by the caller."""
    given: tuple[Any, ...] = (None, None) if tools is None else (encoded(tools), sha256_of(tools))
    await connection.execute(_PROPOSE, *key, *given)


async def approve(connection: Connection, key: Key, approved_by: str) -> None:
    """What is proposed is approved. The pin is locked by the caller."""
    await connection.execute(_APPROVE, *key, approved_by)


async def forget_pin(connection: Connection, key: Key) -> None:
    """Nothing is approved any more."""
    await connection.execute(_FORGET_PIN, *key)


def _columns(server: Server) -> tuple[object, ...]:
    return (
        server.id,
        server.name,
        server.description,
        server.url,
        json_text.encode(server.headers),
        server.connect_seconds,
        server.call_seconds,
    )
