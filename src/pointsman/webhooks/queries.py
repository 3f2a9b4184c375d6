"""Every statement on webhooks' endpoints; times are the database's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from pointsman.kit.db import Connection, Record

_COLUMNS = """id, ordinal, tenant_id, name, url, event_types, enabled, disabled_reason, failures, created_at, updated_at,
              CASE WHEN previous_until > clock_timestamp() THEN previous_until END AS previous_until"""
_SEEN = "id = $1 AND is_active AND ($2::varchar IS NULL OR tenant_id = $2)"
_INSERT = f"""
INSERT INTO webhook_endpoints (id, tenant_id, name, url, event_types, encrypted_secret, enabled)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
"""
_LIST = f"""
SELECT {_COLUMNS} FROM webhook_endpoints
WHERE is_active AND ($1::varchar IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR ordinal < $2) ORDER BY ordinal DESC LIMIT $3
"""
_UPDATE = f"""
UPDATE webhook_endpoints SET name = $2, url = $3, event_types = $4, enabled = $5, updated_at = clock_timestamp(),
    disabled_reason = CASE WHEN $5 THEN NULL WHEN enabled THEN 'by request' ELSE disabled_reason END,
    failures = CASE WHEN $5 AND NOT enabled OR url <> $3 THEN 0 ELSE failures END
WHERE id = $1 RETURNING {_COLUMNS}
"""
# What was in it is gone at once: the row only keeps the id from being another's.
_DELETE = """
UPDATE webhook_endpoints SET is_active = false, enabled = false, encrypted_secret = '', encrypted_previous_secret = NULL,
    previous_until = NULL, updated_at = clock_timestamp()
WHERE id = $1
"""
_ROTATE = f"""
UPDATE webhook_endpoints SET encrypted_previous_secret = encrypted_secret, previous_until = clock_timestamp() + $3::interval,
    encrypted_secret = $2, updated_at = clock_timestamp()
WHERE id = $1 RETURNING {_COLUMNS}
"""


async def insert_endpoint(connection: Connection, *values: Any) -> Record:
    """Id, tenant, name, URL, event types, encrypted secret, enabled."""
    row = await connection.fetchrow(_INSERT, *values)
    assert row is not None
    return row


async def count_endpoints(connection: Connection, tenant: str) -> int:
    """Of a tenant, which makes no other meanwhile."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1, 0))", tenant)
    return await connection.fetchval("SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1 AND is_active", tenant)


async def find_endpoint(connection: Connection, endpoint_id: str, tenant: str | None, *, lock: bool = False) -> Record | None:
    """One that the tenant may see; a tenant of None sees all."""
    ending = " FOR NO KEY UPDATE" if lock else ""
    return await connection.fetchrow(f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE {_SEEN}{ending}", endpoint_id, tenant)


async def is_deleted(connection: Connection, endpoint_id: str, tenant: str | None) -> bool:
    """Whether there was one that the tenant could see."""
    statement = "SELECT EXISTS (SELECT FROM webhook_endpoints WHERE id = $1 AND NOT is_active AND ($2::varchar IS NULL OR tenant_id = $2))"
    return await connection.fetchval(statement, endpoint_id, tenant)


async def list_endpoints(connection: Connection, tenant: str | None, before: int | None, limit: int) -> list[Record]:
    """Newest first."""
    return await connection.fetch(_LIST, tenant, before, limit)


async def update_endpoint(
    connection: Connection, endpoint_id: str, *, name: str | None, url: str, event_types: Sequence[str], enabled: bool
) -> Record:
    """As changed; one that is enabled again, or leads elsewhere, starts without failures."""
    row = await connection.fetchrow(_UPDATE, endpoint_id, name, url, list(event_types), enabled)
    assert row is not None
    return row


async def delete_endpoint(connection: Connection, endpoint_id: str) -> None:
    """With its secrets; what it was told stays to be looked at by an operator of the database."""
    await connection.execute(_DELETE, endpoint_id)


async def rotate_secret(connection: Connection, endpoint_id: str, encrypted: str, overlap: dt.timedelta) -> Record:
    """The new secret, beside which the one before signs for `overlap`."""
    row = await connection.fetchrow(_ROTATE, endpoint_id, encrypted, overlap)
    assert row is not None
    return row


async def lock_endpoint(connection: Connection, endpoint_id: str) -> None:
    """Until the end of the transaction; events may refer to it meanwhile."""
    await connection.execute("SELECT FROM webhook_endpoints WHERE id = $1 FOR NO KEY UPDATE", endpoint_id)


async def disable(connection: Connection, endpoint_id: str, reason: str) -> str | None:
    """Its tenant, where it was enabled."""
    statement = """
    UPDATE webhook_endpoints SET enabled = false, disabled_reason = $2, updated_at = clock_timestamp()
    WHERE id = $1 AND enabled RETURNING tenant_id
    """
    return await connection.fetchval(statement, endpoint_id, reason)


async def count_failure(connection: Connection, endpoint_id: str) -> None:
    """Until one arrives it is given one at a time."""
    await connection.execute("UPDATE webhook_endpoints SET failures = failures + 1 WHERE id = $1", endpoint_id)


async def forget_failures(connection: Connection, endpoint_id: str) -> None:
    """One has arrived."""
    await connection.execute("UPDATE webhook_endpoints SET failures = 0 WHERE id = $1 AND failures > 0", endpoint_id)


async def find_secrets(connection: Connection, endpoint_id: str) -> tuple[str, ...]:
    """Those that sign now, encrypted."""
    statement = """
    SELECT encrypted_secret, CASE WHEN previous_until > clock_timestamp() THEN encrypted_previous_secret END
    FROM webhook_endpoints WHERE id = $1
    """
    row = await connection.fetchrow(statement, endpoint_id)
    return tuple(secret for secret in row or () if secret)
