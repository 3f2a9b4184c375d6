"""How runs' events and snapshots go when they are out of date, a bounded number of rows at a time."""

from __future__ import annotations

import datetime as dt
from datetime import timedelta
from typing import NamedTuple

from pointsman.kit.db import Connection


class Place(NamedTuple):
    """Where in the order of ends a run stands."""

    completed_at: dt.datetime
    ordinal: int


_RUNS = 200  # ended runs that one batch looks at
# The first events go first: a run whose first event is there has all of them. A live run has no end, so it is never met.
# Stored events are never updated: their places (ctid) hold until they go, and no join with them can be planned as a scan.
_EXPIRE_EVENTS = f"""
WITH due AS (
    SELECT id, completed_at, ordinal FROM runs
    WHERE completed_at < clock_timestamp() - $1::interval AND status IN ('completed', 'failed', 'cancelled')
      AND ($2::timestamptz IS NULL OR (completed_at, ordinal) > ($2, $3::bigint))
    ORDER BY completed_at, ordinal LIMIT {_RUNS}
), picked AS (
    SELECT e.at FROM due d
    CROSS JOIN LATERAL (SELECT ctid AS at, seq FROM run_events WHERE run_id = d.id ORDER BY seq LIMIT $4) e
    ORDER BY d.completed_at, d.ordinal, e.seq LIMIT $4
), gone AS (
    DELETE FROM run_events WHERE ctid = ANY (ARRAY(SELECT at FROM picked)) RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS rows, count(*) AS runs, max(completed_at) AS completed_at,
       (SELECT ordinal FROM due ORDER BY completed_at DESC, ordinal DESC LIMIT 1) AS ordinal
FROM due
"""  # noqa: S608 - only the constant above


async def expire_events(connection: Connection, kept: timedelta, after: Place | None, most: int) -> tuple[int, Place | None, bool]:
    """Delete at most `most` rows of events of runs that ended longer than `kept` ago; `after` is where the batch before came to.

    Gives how many went, the last run up to which no events are left, and whether there are more.
    """
    at, ordinal = after or (None, None)
    row = await connection.fetchrow(_EXPIRE_EVENTS, kept, at, ordinal, most)
    assert row is not None
    rows: int = row["rows"]
    if rows == most:  # the last run may have events left
        return rows, after, True
    if not row["runs"]:
        return rows, after, False
    return rows, Place(row["completed_at"], row["ordinal"]), row["runs"] == _RUNS


async def events_expired(connection: Connection, run_id: str) -> bool:
    """Whether the run's events are gone, or going: the first one is missing."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM run_events WHERE run_id = $1 AND seq = 1)", run_id)


async def expire_snapshots(connection: Connection, kept: timedelta, after: str | None, most: int) -> tuple[int, str | None]:
    """Look at the next `most` snapshots and delete those of no run that nobody has stored for `kept`.

    Gives how many went, and the last one that was looked at, None at the end.
    """
    row = await connection.fetchrow(
        """
        WITH seen AS (
            SELECT hash, created_at FROM run_snapshots WHERE $2::varchar IS NULL OR hash > $2 ORDER BY hash LIMIT $3
        ), gone AS (
            DELETE FROM run_snapshots s USING seen WHERE s.hash = seen.hash AND s.created_at < clock_timestamp() - $1::interval
                AND NOT EXISTS (SELECT FROM runs r WHERE r.snapshot = s.hash)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM gone) AS rows, CASE WHEN count(*) = $3 THEN max(hash) END AS last FROM seen
        """,
        kept,
        after,
        most,
    )
    assert row is not None
    return row["rows"], row["last"]
