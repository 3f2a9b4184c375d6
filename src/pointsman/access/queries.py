"""Every statement about keys; returns rows or None."""

from __future__ import annotations

import datetime as dt

from pointsman.access.rows import ApiKey, NewKey, StoredKey
from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.kit.principal import ADMIN

# Who has this hash. Time left is told by the database's clock, which decides when a key expires.
AUTHENTICATE = """
SELECT k.id, k.name, k.owner_id, k.scopes, k.rate_limit, k.expires_at, k.is_active, coalesce(l.family_id, k.id) AS family_id,
       extract(epoch FROM k.expires_at - clock_timestamp())::float8 AS expires_in
  FROM api_keys k LEFT JOIN api_key_lineage l ON l.key_id = k.id
 WHERE k.key_hash = $1
"""

# When keys were last used, by their ages. Rows are locked in one order, so that two replicas never wait for each other in a circle.
TOUCH = """
WITH used AS (
    SELECT u.id, clock_timestamp() - u.age * interval '1 second' AS at FROM unnest($1::int[], $2::float8[]) AS u (id, age)
), due AS (
    SELECT k.id, u.at FROM api_keys k JOIN used u ON u.id = k.id
     WHERE k.last_used_at IS NULL OR k.last_used_at < u.at
     ORDER BY k.id FOR NO KEY UPDATE OF k
)
UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, due.at) FROM due WHERE k.id = due.id
"""

# Take up to $3 requests from the window of family $1 under limit $2, opening a new window when its hour is over.
# `seen` waits for whoever holds the row and then reads its newest version; UPDATE finds that same version, because the row stays locked.
TAKE_FROM_WINDOW = """
WITH seen AS (
    SELECT family_id, used, started_at, clock_timestamp() AS now FROM rate_windows WHERE family_id = $1 FOR UPDATE
), standing AS (
    SELECT family_id, now,
           CASE WHEN started_at + interval '3600 seconds' > now THEN used ELSE 0 END AS used,
           CASE WHEN started_at + interval '3600 seconds' > now THEN started_at ELSE now END AS started_at
      FROM seen
), decided AS (
    SELECT family_id, now, used, started_at, greatest(0, least($3::int, $2::int - used)) AS granted FROM standing
), counted AS (
    UPDATE rate_windows w SET used = d.used + d.granted, started_at = d.started_at
      FROM decided d WHERE w.family_id = d.family_id AND d.granted > 0
)
SELECT granted, used AS used_before, extract(epoch FROM started_at + interval '3600 seconds' - now)::float8 AS resets_in FROM decided
"""

# A family's first window. Nothing comes back when another replica was quicker.
OPEN_WINDOW = """
INSERT INTO rate_windows (family_id, started_at, used) VALUES ($1, clock_timestamp(), least($3::int, $2::int))
ON CONFLICT (family_id) DO NOTHING
RETURNING used AS granted, 0 AS used_before, 3600::float8 AS resets_in
"""

# Keys change seldom. One lock for all their changes, in every process, leaves no race: two rotations of one key, two admins who
# revoke each other, a maker that is narrowed while it hands out what it had, a bootstrap on two replicas.
_CHANGES_LOCK = 0x504D_4B45_5953

_KEY = """k.id, k.key_hash, k.name, k.owner_id, k.scopes, k.rate_limit, k.expires_at, k.last_used_at, k.is_active, k.created_at,
       k.updated_at"""
_STORED = f"SELECT {_KEY}, l.key_id, l.family_id, l.made_by, l.hint FROM api_keys k LEFT JOIN api_key_lineage l ON l.key_id = k.id"
_WORKS = "k.is_active AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"

_ADD = f"""
WITH k AS (
    INSERT INTO api_keys (key_hash, name, owner_id, scopes, rate_limit, expires_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *
), l AS (
    INSERT INTO api_key_lineage (key_id, family_id, made_by, hint)
    SELECT k.id, coalesce($7::int, k.id), $8::int, $9::varchar FROM k RETURNING *
)
SELECT {_KEY}, l.key_id, l.family_id, l.made_by, l.hint FROM k, l
"""
_UPDATE = f"""
UPDATE api_keys k SET name = $2, scopes = $3, rate_limit = $4, expires_at = $5, is_active = $6, updated_at = now()
 WHERE k.id = $1
RETURNING {_KEY}
"""
# An empty owner stands for none: those are operator keys.
_FIND = f"{_STORED} WHERE k.id = $1 AND ($2::varchar IS NULL OR coalesce(k.owner_id, '') = $2)"
_LIST = f"""
{_STORED}
 WHERE ($1::varchar IS NULL OR coalesce(k.owner_id, '') = $1)
   AND ($2::varchar IS NULL OR coalesce(k.owner_id, '') = $2)
   AND ($3::boolean IS NULL OR k.is_active = $3)
   AND ($4::int IS NULL OR k.id < $4)
 ORDER BY k.id DESC LIMIT $5
"""
_LIST_ADMINS = f"""
{_STORED}
 WHERE k.owner_id IS NULL AND {_WORKS} AND strpos(k.scopes, $1) > 0
   AND NOT EXISTS (SELECT FROM api_key_lineage y WHERE y.family_id = coalesce(l.family_id, k.id) AND y.key_id > k.id)
 ORDER BY k.id DESC
"""
_LIST_BOOTSTRAPPED = f"""
SELECT {_KEY} FROM api_keys k JOIN api_key_lineage l ON l.key_id = k.id
 WHERE k.is_active AND l.family_id IN (SELECT family_id FROM api_key_lineage WHERE made_by IS NULL)
 ORDER BY k.id
"""


async def lock_changes(connection: Connection) -> None:
    """Until the transaction ends, nobody else changes any key."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _CHANGES_LOCK)


async def add_key(connection: Connection, key: NewKey, *, family_id: int | None, made_by: int | None, shown: str) -> StoredKey:
    """Insert the key; without a family it founds one."""
    values = key._replace(scopes=json_text.encode(key.scopes))
    row = await connection.fetchrow(_ADD, *values, family_id, made_by, shown)
    assert row is not None
    return StoredKey.of(row)


async def update_key(connection: Connection, key: ApiKey) -> ApiKey:
    """The row as it is stored now; the caller holds the lock on all changes of keys."""
    scopes = json_text.encode(key.scopes)
    row = await connection.fetchrow(_UPDATE, key.id, key.name, scopes, key.rate_limit, key.expires_at, key.is_active)
    assert row is not None
    return ApiKey.of(row)


async def find_key(connection: Connection, key_id: int, tenant: str | None) -> StoredKey | None:
    """The key, if it belongs to the visible tenant (None: any)."""
    row = await connection.fetchrow(_FIND, key_id, tenant)
    return StoredKey.of(row) if row else None


async def find_by_hash(connection: Connection, key_hash: str) -> StoredKey | None:
    """The key with this hash, of whatever state."""
    row = await connection.fetchrow(f"{_STORED} WHERE k.key_hash = $1", key_hash)
    return StoredKey.of(row) if row else None


async def list_keys(
    connection: Connection, tenant: str | None, *, owner: str | None, active: bool | None, before_id: int | None, limit: int
) -> list[StoredKey]:
    """The newest keys first; an empty `owner` means keys without one, that is operator keys."""
    return [StoredKey.of(row) for row in await connection.fetch(_LIST, tenant, owner, active, before_id, limit)]


async def list_admin_keys(connection: Connection) -> list[StoredKey]:
    """Operator keys with `admin` that work now and have no successor, newest first."""
    return [StoredKey.of(row) for row in await connection.fetch(_LIST_ADMINS, json_text.encode(ADMIN))]


async def find_working_key(connection: Connection, key_id: int) -> ApiKey | None:
    """The key, if it is neither revoked nor expired."""
    row = await connection.fetchrow(f"SELECT {_KEY} FROM api_keys k WHERE k.id = $1 AND {_WORKS}", key_id)
    return ApiKey.of(row) if row else None


async def list_bootstrapped(connection: Connection) -> list[ApiKey]:
    """Active keys of families that no key founded, which are those made on the gateway's host, oldest first."""
    return [ApiKey.of(row) for row in await connection.fetch(_LIST_BOOTSTRAPPED)]


async def find_successor(connection: Connection, stored: StoredKey) -> int | None:
    """The id of the youngest key of the family, if that is another one."""
    youngest = await connection.fetchval("SELECT max(key_id) FROM api_key_lineage WHERE family_id = $1", stored.family_id)
    return youngest if youngest is not None and youngest > stored.key.id else None


async def database_now(connection: Connection) -> dt.datetime:
    """The clock that keys expire by."""
    return await connection.fetchval("SELECT clock_timestamp()")
