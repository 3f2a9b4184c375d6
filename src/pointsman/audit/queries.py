"""Every statement about the audit log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from pointsman.audit.rows import AuditEntry
from pointsman.kit.db import Connection, Record

EntryId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

# One sealer at a time among all replicas; any number will do that nothing else in this database uses.
_SEALER_LOCK = 7_305_801_122_019_001


class Filters(NamedTuple):
    """What a list is narrowed to; None does not narrow. `until` is excluded, as is the entry `before`."""

    tenant: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    key_id: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    before: int | None = None


class NewEntry(NamedTuple):
    """An entry before the database numbers and dates it; `detail` is JSON text."""

    tenant_id: str
    actor_key_id: int | None
    actor: str
    action: str
    object_type: str
    object_id: str
    detail: str
    request_id: str | None


async def insert_entry(connection: Connection, entry: NewEntry) -> None:
    """Add an unsealed entry."""
    await connection.execute(
        """
        INSERT INTO audit_log (tenant_id, actor_key_id, actor, action, object_type, object_id, detail, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        *entry,
    )


async def list_entries(connection: Connection, filters: Filters, limit: int) -> list[AuditEntry]:
    """The newest entries that match."""
    conditions = (
        ("tenant_id =", filters.tenant),
        ("action =", filters.action),
        ("object_type =", filters.object_type),
        ("object_id =", filters.object_id),
        ("actor_key_id =", filters.key_id),
        ("at >=", filters.since),
        ("at <", filters.until),
        ("id <", filters.before),
    )
    wanted = [(condition, value) for condition, value in conditions if value is not None]
    # Only the conditions that are asked for: a plan that has to serve all of them could not use the tenant's index.
    narrowed = " AND ".join(["true", *(f"{condition} ${number}" for number, (condition, _) in enumerate(wanted, 2))])
    rows = await connection.fetch(
        f"""
        SELECT id, at, tenant_id, actor_key_id, actor, action, object_type, object_id, detail, request_id, seal_seq, prev_hash, hash
          FROM audit_log WHERE {narrowed} ORDER BY id DESC LIMIT $1
        """,
        limit,
        *(value for _, value in wanted),
    )
    return [AuditEntry.of(row) for row in rows]


async def try_sealer_lock(connection: Connection) -> bool:
    """Become the one sealer until the end of the transaction, unless another one is at work."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _SEALER_LOCK))


async def find_head(connection: Connection) -> Record | None:
    """The last link of the chain: seal_seq, hash."""
    return await connection.fetchrow("SELECT seal_seq, hash FROM audit_head WHERE id = 1")


async def list_unsealed(connection: Connection, limit: int) -> list[Record]:
    """Committed entries that are in no chain yet."""
    return await connection.fetch(
        """
        SELECT id, at, tenant_id, actor_key_id, actor, action, object_type, object_id, detail::text AS detail, request_id
          FROM audit_log WHERE seal_seq IS NULL ORDER BY id LIMIT $1
        """,
        limit,
    )


async def list_sealed(connection: Connection, after: int, limit: int) -> list[Record]:
    """Links of the chain in its order."""
    return await connection.fetch(
        """
        SELECT id, at, tenant_id, actor_key_id, actor, action, object_type, object_id, detail::text AS detail, request_id,
               seal_seq, prev_hash, hash
          FROM audit_log WHERE seal_seq > $1 ORDER BY seal_seq LIMIT $2
        """,
        after,
        limit,
    )


async def count_unsealed(connection: Connection) -> int:
    """How many entries still wait."""
    return int(await connection.fetchval("SELECT count(*) FROM audit_log WHERE seal_seq IS NULL"))


async def write_seals(connection: Connection, seals: Sequence[tuple[int, int, str, str]]) -> None:
    """Seal entries, each given as id, seal_seq, prev_hash, hash; the last one becomes the head."""
    ids, numbers, previous, hashes = (list(column) for column in zip(*seals, strict=True))
    await connection.execute(
        """
        UPDATE audit_log a SET seal_seq = s.seal_seq, prev_hash = s.prev_hash, hash = s.hash
          FROM unnest($1::bigint[], $2::bigint[], $3::varchar[], $4::varchar[]) AS s (id, seal_seq, prev_hash, hash)
         WHERE a.id = s.id
        """,
        ids,
        numbers,
        previous,
        hashes,
    )
    await connection.execute(
        """
        INSERT INTO audit_head (id, seal_seq, hash) VALUES (1, $1, $2)
            ON CONFLICT (id) DO UPDATE SET seal_seq = excluded.seal_seq, hash = excluded.hash
        """,
        numbers[-1],
        hashes[-1],
    )
