"""How a tenant's keys go when it is erased: revoked first, deleted last."""

from __future__ import annotations

from pointsman.access import queries
from pointsman.kit.db import Connection


async def revoke_keys(connection: Connection, tenant: str) -> list[int]:
    """Revoke every key of the tenant; which."""
    await queries.lock_changes(connection)
    revoke = "UPDATE api_keys SET is_active = false, updated_at = now() WHERE owner_id = $1 AND is_active RETURNING id"
    rows = await connection.fetch(revoke, tenant)
    return [row["id"] for row in rows]


async def erase_keys(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` keys of a tenant with their windows and lineage; a user has none. How many."""
    if user_id is not None or not tenant:
        return 0
    rows = await connection.fetch(
        """
        WITH mine AS (
            SELECT k.id, coalesce(l.family_id, k.id) AS family FROM api_keys k LEFT JOIN api_key_lineage l ON l.key_id = k.id
            WHERE k.owner_id = $1 ORDER BY k.id LIMIT $2
        ), closed AS (
            DELETE FROM rate_windows WHERE family_id = ANY (ARRAY(SELECT family FROM mine))
        )
        DELETE FROM api_keys WHERE id = ANY (ARRAY(SELECT id FROM mine)) RETURNING 1
        """,
        tenant,
        most,
    )
    return len(rows)
