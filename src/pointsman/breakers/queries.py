"""Every statement on circuit breakers; times are the database's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from datetime import timedelta

from pointsman.kit.db import Connection, Record

# All or nothing: one that is shut keeps the others from being probed. Rows are locked in one order, so that two who enter several never
# wait for each other in a circle.
_ENTER = """
WITH held AS MATERIALIZED (
    SELECT * FROM circuit_breakers WHERE id = ANY($1) AND state <> 'closed' ORDER BY id FOR UPDATE
), shut AS (
    SELECT id, reason, CASE state WHEN 'open' THEN retry_at ELSE probe_until END AS until FROM held
    WHERE CASE state WHEN 'open' THEN retry_at ELSE probe_until END > clock_timestamp() AND (state = 'open' OR probe <> $2)
), probed AS (
    UPDATE circuit_breakers b SET state = 'half_open', probe = $2, probe_until = clock_timestamp() + $3, updated_at = clock_timestamp()
    FROM held h WHERE b.id = h.id AND NOT EXISTS (SELECT FROM shut)
)
SELECT id, reason, until FROM shut ORDER BY until DESC LIMIT 1
"""

# A failure counts in a row of them while the breaker is closed; while it is half open, only that of the probe does.
_FAIL = """
INSERT INTO circuit_breakers AS b (id, kind, subject, state, failures, opens, reason, opened_at, retry_at)
SELECT $1, $2, $3, CASE WHEN $6 <= 1 THEN 'open' ELSE 'closed' END, 1, ($6 <= 1)::int, $5,
       CASE WHEN $6 <= 1 THEN clock_timestamp() END, CASE WHEN $6 <= 1 THEN clock_timestamp() + $7::interval END
ON CONFLICT (id) DO UPDATE SET
    failures = b.failures + 1,
    reason = excluded.reason,
    updated_at = clock_timestamp(),
    state = CASE WHEN opens_now.yes THEN 'open' ELSE b.state END,
    opened_at = CASE WHEN opens_now.yes AND b.opens = 0 THEN clock_timestamp() ELSE b.opened_at END,
    retry_at = CASE WHEN opens_now.yes THEN clock_timestamp() + least($7::interval * 2 ^ least(b.opens, 20), $8::interval)
                    ELSE b.retry_at END,
    opens = b.opens + opens_now.yes::int,
    probe = CASE WHEN opens_now.yes THEN NULL ELSE b.probe END,
    probe_until = CASE WHEN opens_now.yes THEN NULL ELSE b.probe_until END
RETURNING state, retry_at
""".replace("opens_now.yes", "((b.state = 'closed' AND b.failures + 1 >= $6) OR (b.state = 'half_open' AND b.probe = $4))")

_SUCCEED = """
UPDATE circuit_breakers SET state = 'closed', failures = 0, opens = 0, opened_at = NULL, retry_at = NULL, probe = NULL,
    probe_until = NULL, updated_at = clock_timestamp()
WHERE id = ANY($1) AND (state = 'closed' AND failures > 0 OR state = 'half_open' AND probe = $2)
RETURNING id
"""

_RESET = """
UPDATE circuit_breakers SET state = 'closed', failures = 0, opens = 0, opened_at = NULL, retry_at = NULL, probe = NULL,
    probe_until = NULL, updated_at = clock_timestamp()
WHERE id = $1 RETURNING *
"""


async def enter(connection: Connection, ids: Sequence[str], holder: str, probe_for: timedelta) -> Record | None:
    """None: go on, as the probe of what was half open. Else the one that is shut for longest, with `until`."""
    return await connection.fetchrow(_ENTER, list(ids), holder, probe_for)


async def fail(
    connection: Connection,
    *,
    id_: str,
    kind: str,
    subject: str,
    holder: str,
    reason: str,
    most: int,
    cool_down: timedelta,
    longest: timedelta,
) -> dt.datetime | None:
    """One more failure; until when the breaker is open, if it is now."""
    row = await connection.fetchrow(_FAIL, id_, kind, subject, holder, reason, most, cool_down, longest)
    return row["retry_at"] if row is not None and row["state"] == "open" else None


async def succeed(connection: Connection, ids: Sequence[str], holder: str) -> list[str]:
    """It worked; which breakers that has changed."""
    return [row["id"] for row in await connection.fetch(_SUCCEED, list(ids), holder)]


async def reset(connection: Connection, id_: str) -> Record | None:
    """Close it, whatever it is."""
    return await connection.fetchrow(_RESET, id_)


async def list_troubled(connection: Connection) -> list[Record]:
    """Those that have failed since they last worked."""
    return await connection.fetch("SELECT id, state, retry_at > clock_timestamp() AS is_shut FROM circuit_breakers WHERE failures > 0")


async def list_breakers(connection: Connection, *, state: str | None, after: str | None, limit: int) -> list[Record]:
    """By id."""
    return await connection.fetch(
        "SELECT * FROM circuit_breakers WHERE id > $1 AND ($2::varchar IS NULL OR state = $2) ORDER BY id LIMIT $3",
        after or "",
        state,
        limit,
    )
