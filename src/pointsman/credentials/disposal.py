"""How users' credentials and what is known of their uses go, a bounded number of rows at a time."""

from __future__ import annotations

import datetime as dt

from pointsman.credentials.refreshing import TOPIC
from pointsman.kit.db import Connection
from pointsman.kit.notify import CHANNEL

# A stored user is `<tenant>/<user>`, in the operator's own tenant the plain id.
_ERASE = """
WITH gone AS (
    DELETE FROM user_tokens WHERE id = ANY (ARRAY(
        SELECT id FROM user_tokens
        WHERE CASE WHEN $2::varchar IS NOT NULL THEN user_id = CASE WHEN $1::varchar = '' THEN $2 ELSE $1 || '/' || $2 END
                   WHEN $1 = '' THEN strpos(user_id, '/') = 0 ELSE starts_with(user_id, $1 || '/') END
        LIMIT $3)) RETURNING id
)
SELECT pg_notify($4, $5 || id) FROM gone
"""
_ERASE_OF_USERS = """
DELETE FROM {table} WHERE id = ANY (ARRAY(
    SELECT id FROM {table} WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2) LIMIT $3)) RETURNING 1
"""
_ERASE_CONNECTS = _ERASE_OF_USERS.format(table="token_connects")
_ERASE_USES = _ERASE_OF_USERS.format(table="token_uses")
_EXPIRE_CONNECTS = """
DELETE FROM token_connects WHERE id = ANY (ARRAY(
    SELECT id FROM token_connects WHERE expires_at < clock_timestamp() - $1::interval ORDER BY expires_at LIMIT $2)) RETURNING 1
"""
_EXPIRE_USES = """
DELETE FROM token_uses WHERE id = ANY (ARRAY(
    SELECT id FROM token_uses WHERE at < clock_timestamp() - $1::interval ORDER BY at LIMIT $2)) RETURNING 1
"""


async def erase_tokens(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` credentials of a user, or of a tenant's users, with connects under way and their uses; how many."""
    # Connects first: none that is under way may bring a credential back.
    rows = len(await connection.fetch(_ERASE_CONNECTS, tenant, user_id, most))
    rows += len(await connection.fetch(_ERASE, tenant, user_id, most - rows, CHANNEL, f"{TOPIC}:"))
    return rows + len(await connection.fetch(_ERASE_USES, tenant, user_id, most - rows))


async def expire_connects(connection: Connection, kept: dt.timedelta, most: int) -> int:
    """Delete at most `most` whose time was over `kept` ago, whatever came of them; how many."""
    return len(await connection.fetch(_EXPIRE_CONNECTS, kept, most))


async def expire_uses(connection: Connection, kept: dt.timedelta, most: int) -> int:
    """Delete at most `most` that are older than `kept`; how many."""
    return len(await connection.fetch(_EXPIRE_USES, kept, most))
