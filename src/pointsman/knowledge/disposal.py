"""How a tenant's knowledge is erased, a bounded number of rows at a time."""

from __future__ import annotations

from pointsman.kit.db import Connection

_ERASE = "DELETE FROM knowledge_entries WHERE id = ANY (ARRAY(SELECT id FROM knowledge_entries WHERE tenant_id = $1 LIMIT $2)) RETURNING 1"


async def erase_entries(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` entries of a tenant; a user has none. How many."""
    return len(await connection.fetch(_ERASE, tenant, most)) if user_id is None else 0
