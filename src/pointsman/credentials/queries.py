"""Every statement on users' tokens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pointsman.kit.db import Connection, Record

_COLUMNS = "id, user_id, integration_key, provider, token_type, encrypted_token_data, scopes, expires_at, created_at, updated_at, is_active"
_PUT = f"""
INSERT INTO user_tokens AS t (user_id, integration_key, provider, token_type, encrypted_token_data, scopes, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (user_id, integration_key) DO UPDATE SET
    provider = excluded.provider, token_type = excluded.token_type, encrypted_token_data = excluded.encrypted_token_data,
    scopes = excluded.scopes, expires_at = excluded.expires_at, is_active = true, updated_at = now()
RETURNING {_COLUMNS}
"""
_REAUTH = "EXISTS (SELECT FROM oauth_connections c WHERE c.token_id = t.id AND c.status = 'reauth_required') AS reauth"
_FIND = f"SELECT {_COLUMNS}, {_REAUTH} FROM user_tokens t WHERE user_id = $1 AND integration_key = $2 AND is_active"
_LIST = f"""
SELECT {_COLUMNS}, {_REAUTH} FROM user_tokens t
WHERE user_id = $1 AND is_active AND integration_key > $2 ORDER BY integration_key LIMIT $3
"""
_EMPTY = f"""
UPDATE user_tokens SET is_active = false, encrypted_token_data = '', updated_at = now()
WHERE user_id = $1 AND integration_key = $2 AND is_active RETURNING {_COLUMNS}
"""


async def put_token(
    connection: Connection,
    *,
    user: str,
    integration_key: str,
    provider: str,
    token_type: str,
    ciphertext: str,
    scopes: Sequence[str],
    expires_at: dt.datetime | None,
) -> Record:
    """The token as written, whatever stood there before."""
    row = await connection.fetchrow(_PUT, user, integration_key, provider, token_type, ciphertext, list(scopes), expires_at)
    assert row is not None
    return row


async def find_token(connection: Connection, user: str, integration_key: str) -> Record | None:
    """An active token of a stored user."""
    return await connection.fetchrow(_FIND, user, integration_key)


async def list_tokens(connection: Connection, user: str, *, after: str, limit: int) -> list[Record]:
    """Active tokens of a stored user, by integration key."""
    return await connection.fetch(_LIST, user, after, limit)


async def empty_token(connection: Connection, user: str, integration_key: str) -> Record | None:
    """Deactivate a token and forget its data; None where there is no active one."""
    return await connection.fetchrow(_EMPTY, user, integration_key)
