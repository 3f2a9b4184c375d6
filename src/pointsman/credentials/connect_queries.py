"""Every statement on users' connects: a way is opened once, taken by one browser, and comes to one end. The clock is the database's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pointsman.kit.db import Connection, Record

_COLUMNS = """
c.id, c.tenant_id, c.user_id, c.integration_key, c.provider, c.scopes, c.failure, c.created_at, c.expires_at, c.browser_hash,
c.encrypted_verifier, CASE WHEN c.status IN ('pending', 'opened', 'exchanging') AND c.expires_at <= clock_timestamp()
                           THEN 'expired' ELSE c.status END AS status
"""
# A way that a key opened is closed with the key.
_ITS_KEY = "EXISTS (SELECT FROM api_keys k WHERE k.id = c.key_id AND k.is_active)"
_INSERT = f"""
INSERT INTO token_connects AS c (id, tenant_id, user_id, integration_key, provider, scopes, key_id, start_hash, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9::interval) RETURNING {_COLUMNS}
"""
_FIND = f"SELECT {_COLUMNS} FROM token_connects c WHERE id = $1 AND tenant_id = $2 AND user_id = $3"
_FIND_START = f"SELECT {_COLUMNS} FROM token_connects c WHERE start_hash = $1 AND {_ITS_KEY}"
_FIND_STATE = f"SELECT {_COLUMNS} FROM token_connects c WHERE state_hash = $1 AND {_ITS_KEY} FOR UPDATE"
_OPEN = """
UPDATE token_connects SET status = 'opened', state_hash = $2, browser_hash = $3, encrypted_verifier = $4,
    expires_at = clock_timestamp() + $5::interval
WHERE id = $1
"""
_TAKE = "UPDATE token_connects SET status = 'exchanging', state_hash = NULL, encrypted_verifier = '' WHERE id = $1"
_END = """
UPDATE token_connects SET status = $2, failure = $3 WHERE id = $1 AND status = 'exchanging' RETURNING clock_timestamp() AS now
"""


async def insert_connect(
    connection: Connection,
    *,
    connect_id: str,
    tenant: str,
    user_id: str,
    integration_key: str,
    provider: str,
    scopes: Sequence[str],
    key_id: int,
    start_hash: str,
    lasts: timedelta,
) -> Record:
    """The connect as written."""
    row = await connection.fetchrow(
        _INSERT, connect_id, tenant, user_id, integration_key, provider, list(scopes), key_id, start_hash, lasts
    )
    assert row is not None
    return row


async def find_connect(connection: Connection, connect_id: str, tenant: str, user_id: str) -> Record | None:
    """A user's connect."""
    return await connection.fetchrow(_FIND, connect_id, tenant, user_id)


async def find_by_start(connection: Connection, start_hash: str, *, lock: bool = False) -> Record | None:
    """The connect that begins at a link, whatever its status."""
    return await connection.fetchrow(_FIND_START + (" FOR UPDATE" if lock else ""), start_hash)


async def lock_by_state(connection: Connection, state_hash: str) -> Record | None:
    """The connect that a provider's answer is for."""
    return await connection.fetchrow(_FIND_STATE, state_hash)


async def open_connect(
    connection: Connection, connect_id: str, *, state_hash: str, browser_hash: str, verifier: str, lasts: timedelta
) -> None:
    """A browser leaves for the provider, under a state that is good once."""
    await connection.execute(_OPEN, connect_id, state_hash, browser_hash, verifier, lasts)


async def take_connect(connection: Connection, connect_id: str) -> None:
    """The browser came back: its state is good no more."""
    await connection.execute(_TAKE, connect_id)


async def end_connect(connection: Connection, connect_id: str, status: str, failure: str | None = None) -> Record | None:
    """Say what came of it, with the time by the database; None where it is no longer under way, or erased."""
    return await connection.fetchrow(_END, connect_id, status, failure)
