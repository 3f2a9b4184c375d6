"""Every statement about exports and erasures themselves; what is erased is the business of each slice's `disposal`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pointsman.kit import json_text
from pointsman.kit.db import Connection, Record

_ERASURE = "SELECT id, tenant_id, user_id, status, counts::text AS counts, requested_by, requested_at, completed_at FROM erasures"


async def insert_export(connection: Connection, export_id: str, tenant: str, user_id: str | None) -> None:
    """An export has been sent."""
    await connection.execute("INSERT INTO data_exports (id, tenant_id, user_id) VALUES ($1, $2, $3)", export_id, tenant, user_id)


async def is_exported(connection: Connection, export_id: str, tenant: str, user_id: str | None, within: timedelta) -> bool:
    """Whether this very data was exported under this id lately."""
    return await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM data_exports WHERE id = $1 AND tenant_id = $2 AND user_id IS NOT DISTINCT FROM $3
                                                  AND completed_at > clock_timestamp() - $4::interval)
        """,
        export_id,
        tenant,
        user_id,
        within,
    )


async def find_live_run(connection: Connection, tenant: str, user_id: str | None) -> str | None:
    """A run of the user, or of the tenant, that has not ended."""
    return await connection.fetchval(
        """
        SELECT id FROM runs
        WHERE tenant_id = $1 AND status IN ('pending', 'running', 'paused') AND ($2::varchar IS NULL OR user_id = $2) LIMIT 1
        """,
        tenant,
        user_id,
    )


async def insert_erasure(
    connection: Connection, *, erasure_id: str, tenant: str, user_id: str | None, export_id: str | None, requested_by: int
) -> bool:
    """Whether it is new: there is at most one under way for the same data."""
    return bool(
        await connection.fetchval(
            """
            INSERT INTO erasures (id, tenant_id, user_id, status, export_id, requested_by) VALUES ($1, $2, $3, 'running', $4, $5)
            ON CONFLICT DO NOTHING RETURNING true
            """,
            erasure_id,
            tenant,
            user_id,
            export_id,
            requested_by,
        )
    )


async def find_running(connection: Connection, tenant: str, user_id: str | None) -> Record | None:
    """The erasure of this very data that is under way."""
    return await connection.fetchrow(
        _ERASURE + " WHERE status = 'running' AND tenant_id = $1 AND coalesce(user_id, '') = coalesce($2::varchar, '')", tenant, user_id
    )


async def find_erasure(connection: Connection, erasure_id: str, tenant: str | None) -> Record | None:
    """The erasure, if the tenant may see it; a tenant of None sees all."""
    return await connection.fetchrow(_ERASURE + " WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2)", erasure_id, tenant)


async def next_running(connection: Connection, after: str | None) -> Record | None:
    """The erasure under way behind `after`, else the first, so that one that has to wait holds up no other."""
    behind = " WHERE status = 'running' ORDER BY ($1::varchar IS NOT NULL AND id <= $1), id LIMIT 1"
    return await connection.fetchrow(_ERASURE + behind, after)


async def store_progress(connection: Connection, erasure_id: str, counts: Mapping[str, int], *, completed: bool) -> None:
    """What it has done so far, and whether that is all."""
    await connection.execute(
        """
        UPDATE erasures SET counts = $2::text::jsonb, status = CASE WHEN $3 THEN 'completed' ELSE status END,
            completed_at = CASE WHEN $3 THEN clock_timestamp() END
        WHERE id = $1
        """,
        erasure_id,
        json_text.encode(dict(counts)),
        completed,
    )


async def forget_exports(connection: Connection, tenant: str, user_id: str | None) -> None:
    """That there were exports is nobody's to know any more."""
    await connection.execute("DELETE FROM data_exports WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2)", tenant, user_id)


async def wake(connection: Connection) -> None:
    """Erasures are due now."""
    await connection.execute(
        "INSERT INTO retention_marks (kind) VALUES ('erasures') ON CONFLICT (kind) DO UPDATE SET due_at = clock_timestamp()"
    )
