"""Every statement on schedules; times are the database's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pointsman.kit.db import Connection, Record

_COLUMNS = """tenant_id, id, name, subject_type, subject_id, cron, timezone, missed, request::text AS request, user_id, key_id, paused,
              next_at, is_active, created_at, updated_at"""
_PUT = f"""
INSERT INTO schedules AS s
    (tenant_id, id, name, subject_type, subject_id, cron, timezone, missed, request, user_id, key_id, paused, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10, $11, $12, $13)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    name = excluded.name, subject_type = excluded.subject_type, subject_id = excluded.subject_id, cron = excluded.cron,
    timezone = excluded.timezone, missed = excluded.missed, request = excluded.request, user_id = excluded.user_id,
    key_id = excluded.key_id, paused = excluded.paused, next_at = excluded.next_at, is_active = true, updated_at = clock_timestamp()
    WHERE NOT s.is_active OR $14
RETURNING {_COLUMNS}
"""
_FIND = (
    f"SELECT {_COLUMNS} FROM schedules WHERE id = $1 AND is_active AND ($2::varchar IS NULL OR tenant_id = $2) ORDER BY tenant_id LIMIT 1"
)
_LIST = f"""
SELECT {_COLUMNS} FROM schedules
WHERE is_active AND ($1::varchar IS NULL OR tenant_id = $1) AND (tenant_id, id) > ($2, $3)
  AND ($4::varchar IS NULL OR subject_id = $4)
ORDER BY tenant_id, id LIMIT $5
"""
_DUE = f"""
SELECT {_COLUMNS}, clock_timestamp() AS now FROM schedules
WHERE is_active AND NOT paused AND next_at <= clock_timestamp() ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_FIRE = """
INSERT INTO schedule_fires (tenant_id, schedule_id, due_at, run_id, status) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""
_TAKE = """
UPDATE schedule_fires f SET held_until = clock_timestamp() + make_interval(secs => $2::float8)
FROM (
    SELECT tenant_id, schedule_id, due_at FROM schedule_fires
    WHERE status = 'pending' AND (held_until IS NULL OR held_until < clock_timestamp())
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
) p JOIN schedules s ON s.tenant_id = p.tenant_id AND s.id = p.schedule_id
WHERE f.tenant_id = p.tenant_id AND f.schedule_id = p.schedule_id AND f.due_at = p.due_at
RETURNING f.tenant_id, f.schedule_id, f.due_at, f.run_id, s.subject_type, s.subject_id, s.request::text AS request, s.key_id
"""
_SETTLE = """
UPDATE schedule_fires SET status = $4, problem = $5::text::json, held_until = NULL
WHERE tenant_id = $1 AND schedule_id = $2 AND due_at = $3 AND status = 'pending'
"""


async def put_schedule(connection: Connection, values: Mapping[str, Any], *, over: bool) -> Record | None:
    """The schedule as written; None where an active one has the id, unless it is to be written `over`."""
    return await connection.fetchrow(_PUT, *values.values(), over)


async def find_schedule(connection: Connection, schedule_id: str, tenant: str | None, *, lock: bool = False) -> Record | None:
    """An active schedule that the tenant may see; a tenant of None sees all."""
    return await connection.fetchrow(_FIND + (" FOR UPDATE" if lock else ""), schedule_id, tenant)


async def list_schedules(
    connection: Connection, *, tenant: str | None, subject_id: str | None, after: tuple[str, str] | None, limit: int
) -> list[Record]:
    """By tenant and id."""
    return await connection.fetch(_LIST, tenant, *(after or ("", "")), subject_id, limit)


async def delete_schedule(connection: Connection, schedule_id: str, tenant: str | None) -> Record | None:
    """Deleted softly; the row, also where it was deleted before."""
    statement = f"""UPDATE schedules SET is_active = false, next_at = NULL, updated_at = clock_timestamp()
                    WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2) RETURNING {_COLUMNS}"""
    return await connection.fetchrow(statement, schedule_id, tenant)


async def list_fires(connection: Connection, *, tenant: str, schedule_id: str, before: dt.datetime | None, limit: int) -> list[Record]:
    """Newest first."""
    return await connection.fetch(
        """SELECT due_at, status, run_id, problem::text AS problem FROM schedule_fires
           WHERE tenant_id = $1 AND schedule_id = $2 AND ($3::timestamptz IS NULL OR due_at < $3) ORDER BY due_at DESC LIMIT $4""",
        tenant,
        schedule_id,
        before,
        limit,
    )


async def lock_due(connection: Connection, most: int) -> list[Record]:
    """Schedules whose time has come, each seen by one replica until its transaction ends."""
    return await connection.fetch(_DUE, most)


async def fire(connection: Connection, row: Record, due_at: dt.datetime, run_id: str, status: str) -> None:
    """Note that a time came; once, however often it is noted."""
    await connection.execute(_FIRE, row["tenant_id"], row["id"], due_at, run_id, status)


async def move_on(connection: Connection, row: Record, next_at: dt.datetime | None) -> None:
    """What comes next."""
    await connection.execute("UPDATE schedules SET next_at = $3 WHERE tenant_id = $1 AND id = $2", row["tenant_id"], row["id"], next_at)


async def take_pending(connection: Connection, most: int, held_for: float) -> list[Record]:
    """Fires whose run has not begun, to be begun by the caller within `held_for` seconds."""
    return await connection.fetch(_TAKE, most, held_for)


async def settle(connection: Connection, row: Record, status: str, problem: str | None = None) -> None:
    """Its run has begun, or it has none and will have none."""
    await connection.execute(_SETTLE, row["tenant_id"], row["schedule_id"], row["due_at"], status, problem)
