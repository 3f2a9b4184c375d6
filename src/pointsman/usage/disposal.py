"""How usage goes, out of date or erased, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from pointsman.kit.db import Connection


async def expire_usage(connection: Connection, kept: timedelta, most: int) -> int:
    """Delete at most `most` calls counted longer than `kept` ago, with their details; how many."""
    rows = await connection.fetch(
        """
        DELETE FROM token_usage WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM token_usage WHERE created_at < clock_timestamp() - $1::interval ORDER BY created_at LIMIT $2
        )) RETURNING 1
        """,
        kept,
        most,
    )
    return len(rows)


async def erase_usage(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Make at most `most` calls of a user nobody's, so that sums stay right, or delete those of a tenant; how many."""
    if user_id is None:
        return len(await connection.fetch(_DELETE, tenant, most))
    return len(await connection.fetch(_MAKE_NOBODYS, tenant, user_id, most))


_DELETE = """
DELETE FROM token_usage WHERE id = ANY (ARRAY(SELECT usage_id FROM usage_details WHERE tenant_id = $1 LIMIT $2)) RETURNING 1
"""
_MAKE_NOBODYS = """
WITH mine AS (
    SELECT t.id FROM token_usage t JOIN usage_details d ON d.usage_id = t.id WHERE t.user_id = $2 AND d.tenant_id = $1 LIMIT $3
), cut AS (
    UPDATE usage_details SET run_id = NULL WHERE usage_id = ANY (ARRAY(SELECT id FROM mine))
)
UPDATE token_usage SET user_id = NULL, session_id = NULL WHERE id = ANY (ARRAY(SELECT id FROM mine)) RETURNING 1
"""
