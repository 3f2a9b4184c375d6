"""How budgets of a user or a tenant are made nobody's; replicas know budgets by rising versions, so no row may go."""

from __future__ import annotations

from pointsman.budgets import queries
from pointsman.kit.db import Connection

_ERASE = """
UPDATE budgets SET tenant_id = '', id = 'erased-' || number, name = NULL, subject_id = '', is_active = false, by_operator = true,
       updated_at = clock_timestamp(), version = (SELECT max(version) FROM budgets) + numbered.row
FROM (
    SELECT number AS which, row_number() OVER (ORDER BY number) AS row FROM budgets
    WHERE subject_id <> '' AND CASE WHEN $2::varchar IS NULL THEN tenant_id = $1 OR subject_type = 'tenant' AND subject_id = $1
               ELSE tenant_id = $1 AND subject_type = 'user' AND subject_id = $2 END
    LIMIT $3
) AS numbered
WHERE number = numbered.which RETURNING 1
"""


async def erase_budgets(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """End at most `most` budgets and take every name out of them; how many."""
    await queries.lock_changes(connection)
    return len(await connection.fetch(_ERASE, tenant, user_id, most))
