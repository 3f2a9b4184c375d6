"""Every statement about keys; those of the request path are raw, prepared once per connection by the driver."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, Text, and_, cast, exists, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from pointsman.access.models import ApiKey, KeyLineage
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


class StoredKey(NamedTuple):
    """A key with its lineage; None for a row that something else than this service has inserted."""

    key: ApiKey
    lineage: KeyLineage | None

    @property
    def family_id(self) -> int:
        """The family whose hourly window the key uses."""
        return self.lineage.family_id if self.lineage else self.key.id


async def lock_changes(session: AsyncSession) -> None:
    """Until the transaction ends, nobody else changes any key."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _CHANGES_LOCK})


async def add_key(session: AsyncSession, key: ApiKey, *, family_id: int | None, made_by: int | None, shown: str) -> StoredKey:
    """Insert the key; without a family it founds one."""
    session.add(key)
    await session.flush()
    lineage = KeyLineage(key_id=key.id, family_id=family_id or key.id, made_by=made_by, hint=shown)
    session.add(lineage)
    await session.flush()
    await session.refresh(key)
    return StoredKey(key, lineage)


async def find_key(session: AsyncSession, key_id: int, tenant: str | None) -> StoredKey | None:
    """The key, if it belongs to the visible tenant (None: any)."""
    statement = _visible(_stored().where(ApiKey.id == key_id), tenant)
    row = (await session.execute(statement)).one_or_none()
    return StoredKey(*row) if row else None


async def find_by_hash(session: AsyncSession, key_hash: str) -> StoredKey | None:
    """The key with this hash, of whatever state."""
    row = (await session.execute(_stored().where(ApiKey.key_hash == key_hash))).one_or_none()
    return StoredKey(*row) if row else None


async def list_keys(
    session: AsyncSession, tenant: str | None, *, owner: str | None, active: bool | None, before_id: int | None, limit: int
) -> list[StoredKey]:
    """The newest keys first; an empty `owner` means keys without one, that is operator keys."""
    statement = _visible(_stored().order_by(ApiKey.id.desc()).limit(limit), tenant)
    if owner is not None:
        statement = statement.where(_owned_by(owner))
    if active is not None:
        statement = statement.where(ApiKey.is_active.is_(active))
    if before_id is not None:
        statement = statement.where(ApiKey.id < before_id)
    return [StoredKey(*row) for row in (await session.execute(statement))]


async def list_admin_keys(session: AsyncSession) -> list[StoredKey]:
    """Operator keys with `admin` that work now and have no successor, newest first."""
    statement = (
        _stored()
        .where(ApiKey.owner_id.is_(None), _works(), ~_has_successor())
        .where(cast(ApiKey.scopes, Text).contains(f'"{ADMIN}"'))
        .order_by(ApiKey.id.desc())
    )
    return [StoredKey(*row) for row in (await session.execute(statement))]


async def find_working_key(session: AsyncSession, key_id: int) -> ApiKey | None:
    """The key, if it is neither revoked nor expired."""
    return await session.scalar(select(ApiKey).where(ApiKey.id == key_id, _works()))


async def list_bootstrapped(session: AsyncSession) -> Sequence[ApiKey]:
    """Active keys of families that no key founded, which are those made on the gateway's host, oldest first."""
    families = select(KeyLineage.family_id).where(KeyLineage.made_by.is_(None))
    statement = (
        select(ApiKey)
        .join(KeyLineage, KeyLineage.key_id == ApiKey.id)
        .where(KeyLineage.family_id.in_(families), ApiKey.is_active)
        .order_by(ApiKey.id)
    )
    return (await session.scalars(statement)).all()


async def find_successor(session: AsyncSession, stored: StoredKey) -> int | None:
    """The id of the youngest key of the family, if that is another one."""
    youngest = await session.scalar(select(func.max(KeyLineage.key_id)).where(KeyLineage.family_id == stored.family_id))
    return youngest if youngest is not None and youngest > stored.key.id else None


async def database_now(session: AsyncSession) -> dt.datetime:
    """The clock that keys expire by."""
    return (await session.execute(select(func.clock_timestamp()))).scalar_one()


def _stored() -> Select[ApiKey, KeyLineage]:
    return select(ApiKey, KeyLineage).outerjoin(KeyLineage, KeyLineage.key_id == ApiKey.id)


def _visible(statement: Select[ApiKey, KeyLineage], tenant: str | None) -> Select[ApiKey, KeyLineage]:
    return statement if tenant is None else statement.where(_owned_by(tenant))


def _owned_by(tenant: str) -> ColumnElement[bool]:
    return ApiKey.owner_id == tenant if tenant else ApiKey.owner_id.is_(None)


def _works() -> ColumnElement[bool]:
    return and_(ApiKey.is_active, or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.clock_timestamp()))


def _has_successor() -> ColumnElement[bool]:
    younger = aliased(KeyLineage)
    return exists().where(and_(younger.family_id == func.coalesce(KeyLineage.family_id, ApiKey.id), younger.key_id > ApiKey.id))
