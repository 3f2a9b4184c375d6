"""How webhooks of a tenant or about a user go, and old deliveries."""

from __future__ import annotations

import datetime as dt

from pointsman.kit.db import Connection

_ERASE_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2) LIMIT $3
) RETURNING 1
"""
_ERASE_ENDPOINTS = """
DELETE FROM webhook_endpoints WHERE id IN (SELECT id FROM webhook_endpoints WHERE tenant_id = $1 LIMIT $2) RETURNING 1
"""
_EXPIRE = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE created_at < clock_timestamp() - $1::interval ORDER BY created_at LIMIT $2
) RETURNING 1
"""


async def erase_webhooks(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` deliveries, about this user or all, and then a leaving tenant's endpoints; how many."""
    rows = len(await connection.fetch(_ERASE_DELIVERIES, tenant, user_id, most))
    if user_id is None and rows < most:
        rows += len(await connection.fetch(_ERASE_ENDPOINTS, tenant, most - rows))
    return rows


async def expire_deliveries(connection: Connection, kept: dt.timedelta, most: int) -> int:
    """Delete at most `most` that are older than `kept`, which is longer than any is tried; how many."""
    return len(await connection.fetch(_EXPIRE, kept, most))
