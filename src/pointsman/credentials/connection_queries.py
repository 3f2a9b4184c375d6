"""Every statement on established connections: who refreshes a token, with which epoch, and what came of it. The clock is the database's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from pointsman.kit.db import Connection, Record

_ESTABLISH = """
INSERT INTO oauth_connections AS c (token_id) VALUES ($1)
ON CONFLICT (token_id) DO UPDATE SET status = 'established', epoch = c.epoch + 1, generation = c.generation + 1, asks = 0, failures = 0,
    held_until = NULL, retry_at = NULL, refreshed_at = NULL
"""
_FORGET = "DELETE FROM oauth_connections WHERE token_id = $1"
_LOOK = """
SELECT t.id, t.user_id, t.integration_key, t.provider, t.token_type, t.encrypted_token_data, t.scopes, t.expires_at, t.created_at,
       t.updated_at, t.is_active, c.token_id IS NOT NULL AS refreshable, c.status, c.generation, c.asks,
       t.expires_at <= clock_timestamp() AS expired, t.expires_at <= clock_timestamp() + $3::interval AS due,
       c.refreshed_at > clock_timestamp() - $4::interval AS just_refreshed, c.held_until > clock_timestamp() AS held,
       extract(epoch FROM c.retry_at - clock_timestamp())::float8 AS retry_in,
       extract(epoch FROM t.expires_at - clock_timestamp())::float8 AS ends_in
FROM user_tokens t LEFT JOIN oauth_connections c ON c.token_id = t.id
WHERE t.user_id = $1 AND t.integration_key = $2 AND t.is_active
"""
# The intent is on record before the provider is asked: `asks` counts the times for which nobody has yet said what came of it.
_CLAIM = """
UPDATE oauth_connections SET epoch = epoch + 1, asks = asks + 1, held_until = clock_timestamp() + $4::interval
WHERE token_id = $1 AND generation = $2 AND status = 'established' AND asks < $3
  AND (held_until IS NULL OR held_until <= clock_timestamp()) AND (retry_at IS NULL OR retry_at <= clock_timestamp())
RETURNING epoch
"""
_GIVE_UP = """
UPDATE oauth_connections SET status = 'reauth_required', held_until = NULL
WHERE token_id = $1 AND generation = $2 AND status = 'established' AND asks >= $3 AND held_until <= clock_timestamp() RETURNING 1
"""
# In the order in which whoever replaces a token locks the two rows.
_LOCK = "SELECT FROM user_tokens WHERE id = $1 FOR UPDATE"
_RENEWED = """
UPDATE oauth_connections SET generation = generation + 1, asks = 0, failures = 0, held_until = NULL, retry_at = NULL,
    refreshed_at = clock_timestamp()
WHERE token_id = $1 AND epoch = $2 AND status = 'established' RETURNING 1
"""
_STORE = """
UPDATE user_tokens SET encrypted_token_data = $2, scopes = coalesce($3, scopes), updated_at = clock_timestamp(),
    expires_at = CASE WHEN $4::float8 IS NULL THEN NULL ELSE clock_timestamp() + make_interval(secs => $4) END
WHERE id = $1
"""
_REFUSED = """
UPDATE oauth_connections SET status = 'reauth_required', asks = 0, held_until = NULL WHERE token_id = $1 AND epoch = $2 RETURNING 1
"""
_FAILED = """
UPDATE oauth_connections SET asks = 0, failures = failures + 1, held_until = NULL,
    retry_at = clock_timestamp() + make_interval(secs => greatest(coalesce($3::float8, 0), least(300, power(2, least(failures, 9)))))
WHERE token_id = $1 AND epoch = $2
"""


async def establish(connection: Connection, token_id: int) -> None:
    """Let a token be refreshed from now on; whoever is refreshing what stood there before commits nothing."""
    await connection.execute(_ESTABLISH, token_id)


async def forget(connection: Connection, token_id: int) -> None:
    """Let a token be refreshed no more."""
    await connection.execute(_FORGET, token_id)


async def look(connection: Connection, user: str, integration_key: str, *, skew: dt.timedelta, recently: dt.timedelta) -> Record | None:
    """An active token with how fresh it is and who has it in hand."""
    return await connection.fetchrow(_LOOK, user, integration_key, skew, recently)


async def claim(connection: Connection, token_id: int, generation: int, *, most: int, lease: dt.timedelta) -> int | None:
    """Take a token in hand for one request; the epoch, None where somebody else has it, it must wait, or it was asked for too often."""
    return await connection.fetchval(_CLAIM, token_id, generation, most, lease)


async def give_up(connection: Connection, token_id: int, generation: int, *, most: int) -> bool:
    """Say that the user has to connect anew, where requests came to no known end so often."""
    return await connection.fetchval(_GIVE_UP, token_id, generation, most) is not None


async def renewed(
    connection: Connection, token_id: int, epoch: int, *, ciphertext: str, scopes: Sequence[str] | None, expires_in: float | None
) -> bool:
    """Store what was granted, unless the token was taken out of this hand meanwhile."""
    await connection.execute(_LOCK, token_id)
    if await connection.fetchval(_RENEWED, token_id, epoch) is None:
        return False
    await connection.execute(_STORE, token_id, ciphertext, None if scopes is None else list(scopes), expires_in)
    return True


async def refused(connection: Connection, token_id: int, epoch: int) -> bool:
    """Say that the provider knows the grant no more."""
    return await connection.fetchval(_REFUSED, token_id, epoch) is not None


async def failed(connection: Connection, token_id: int, epoch: int, retry_after: float | None) -> None:
    """Let it be tried again after a while, which grows with each failure; `retry_after` is in seconds."""
    await connection.execute(_FAILED, token_id, epoch, retry_after)
