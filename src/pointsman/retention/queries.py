"""Every statement about how far the sweeps are; what goes is the business of each slice's `disposal`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pointsman.kit.db import Connection, Record

# One sweeper at a time among all replicas; any number will do that nothing else in this database uses.
_LOCK = 7_305_801_122_019_018


async def begin_batch(connection: Connection, longest: timedelta) -> bool:
    """Take the lock until the transaction ends, if nobody has it; statements of this transaction may take `longest`."""
    milliseconds = str(round(longest.total_seconds() * 1000))
    taken = "SELECT pg_try_advisory_xact_lock($1), set_config('statement_timeout', $2, true)"
    return bool(await connection.fetchval(taken, _LOCK, milliseconds))


async def find_due(connection: Connection, kinds: Sequence[str]) -> Record | None:
    """The mark of the kind that has waited longest, if one of `kinds` is due."""
    return await connection.fetchrow(
        """
        SELECT k.kind, m.place FROM unnest($1::varchar[]) WITH ORDINALITY AS k (kind, number)
        LEFT JOIN retention_marks m ON m.kind = k.kind
        WHERE m.due_at IS NULL OR m.due_at <= clock_timestamp()
        ORDER BY m.due_at NULLS FIRST, k.number LIMIT 1
        """,
        list(kinds),
    )


async def find_place(connection: Connection, kind: str) -> str | None:
    """How far the sweep of a kind has come."""
    return await connection.fetchval("SELECT place FROM retention_marks WHERE kind = $1", kind)


async def store_mark(connection: Connection, kind: str, place: str | None, *, rest: timedelta, pause: timedelta) -> None:
    """Where the kind goes on after `rest`; none goes on before `pause` is over, whichever replica would do it."""
    await connection.execute(
        """
        INSERT INTO retention_marks (kind, place, due_at) VALUES ($1, $2, clock_timestamp() + $3::interval)
        ON CONFLICT (kind) DO UPDATE SET place = excluded.place, due_at = excluded.due_at
        """,
        kind,
        place,
        rest,
    )
    await connection.execute("UPDATE retention_marks SET due_at = clock_timestamp() + $1::interval WHERE due_at < clock_timestamp()", pause)
