"""How schedules of a tenant or a user go, and old notes of what they set going."""

from __future__ import annotations

import datetime as dt

from pointsman.kit.db import Connection

_ERASE = """
DELETE FROM schedules WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM schedules WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2) LIMIT $3
) RETURNING 1
"""
_EXPIRE = """
DELETE FROM schedule_fires WHERE (tenant_id, schedule_id, due_at) IN (
    SELECT tenant_id, schedule_id, due_at FROM schedule_fires
    WHERE due_at < clock_timestamp() - $1::interval AND status <> 'pending' ORDER BY due_at LIMIT $2
) RETURNING 1
"""


async def erase_schedules(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` schedules with what is noted of them; how many."""
    return len(await connection.fetch(_ERASE, tenant, user_id, most))


async def expire_fires(connection: Connection, kept: dt.timedelta, most: int) -> int:
    """Delete at most `most` notes of times that came longer ago than `kept`; how many."""
    return len(await connection.fetch(_EXPIRE, kept, most))
