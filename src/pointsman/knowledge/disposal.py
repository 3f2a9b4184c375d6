"""How a tenant's knowledge is erased, a bounded number of rows at a time."""

from __future__ import annotations

from pointsman.kit.db import Connection
from pointsman.knowledge.tenants import enter_tenant

# The object of each is nobody's from now on, and cleared away in a moment.
_ERASE = """
WITH gone AS (
    DELETE FROM knowledge_entries WHERE id = ANY (ARRAY(SELECT id FROM knowledge_entries WHERE tenant_id = $1 LIMIT $2)) RETURNING gcs_path
), left_behind AS (
    INSERT INTO knowledge_leftovers (uri) SELECT gcs_path FROM gone WHERE gcs_path IS NOT NULL ON CONFLICT DO NOTHING
)
SELECT count(*) FROM gone
"""


async def erase_entries(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` entries of a tenant with their chunks and objects; a user has none. How many."""
    if user_id is not None:
        return 0
    await enter_tenant(connection, tenant)
    return await connection.fetchval(_ERASE, tenant, most)
