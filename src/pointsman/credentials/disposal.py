"""How users' credentials are erased, a bounded number of rows at a time."""

from __future__ import annotations

from pointsman.kit.db import Connection

# A stored user is `<tenant>/<user>`, in the operator's own tenant the plain id.
_ERASE = """
DELETE FROM user_tokens WHERE id = ANY (ARRAY(
    SELECT id FROM user_tokens
    WHERE CASE WHEN $2::varchar IS NOT NULL THEN user_id = CASE WHEN $1::varchar = '' THEN $2 ELSE $1 || '/' || $2 END
               WHEN $1 = '' THEN strpos(user_id, '/') = 0 ELSE starts_with(user_id, $1 || '/') END
    LIMIT $3)) RETURNING 1
"""


async def erase_tokens(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` credentials of a user, or of a tenant's users; how many."""
    return len(await connection.fetch(_ERASE, tenant, user_id, most))
