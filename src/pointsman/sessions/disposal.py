"""How runs, sessions and memories go, out of date or erased: runs leave behind what history needs, sessions go in small pieces."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from pointsman.kit.db import Connection
from pointsman.runs.disposal import Place as RunPlace


class Place(NamedTuple):
    """The last session that was looked at."""

    tenant: str
    session_id: str


_FIRST = Place("", "")  # before every session

# A run that is being deleted by somebody else is theirs. One without messages leaves nothing behind.
_EXPIRE_RUNS = """
WITH due AS (
    SELECT ctid AS at FROM runs
    WHERE completed_at < clock_timestamp() - $1::interval AND status IN ('completed', 'failed', 'cancelled')
      AND (completed_at, ordinal) <= ($2::timestamptz, $3::bigint)
    ORDER BY completed_at, ordinal LIMIT $4 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM runs WHERE ctid = ANY (ARRAY(SELECT at FROM due)) RETURNING id, tenant_id, session_id, ordinal, subject, status
), kept AS (
    INSERT INTO past_turns (run_id, tenant_id, session_id, ordinal, subject, status)
    SELECT id, tenant_id, session_id, ordinal, subject, status FROM gone
    WHERE EXISTS (SELECT FROM messages m WHERE m.run_id = gone.id)
)
SELECT count(*) FROM gone
"""


_ANY_LEFT = """
SELECT EXISTS (
    SELECT FROM runs WHERE completed_at < clock_timestamp() - $1::interval AND status IN ('completed', 'failed', 'cancelled')
)
"""


async def expire_runs(connection: Connection, kept: timedelta, upto: RunPlace | None, most: int) -> tuple[int, bool]:
    """Delete at most `most` runs that ended longer than `kept` ago, none beyond `upto`, the last without events.

    Gives how many went, and whether more are due. Messages stay with their session, in their order and with what became of each turn.
    """
    rows: int = await connection.fetchval(_EXPIRE_RUNS, kept, *upto, most) if upto else 0
    return rows, await connection.fetchval(_ANY_LEFT, kept)


async def expire_sessions(connection: Connection, kept: timedelta, after: Place | None, most: int) -> tuple[int, Place | None]:
    """Look at the next `most` sessions and delete at most about as many rows of those untouched for `kept` and without a live run.

    Gives how many rows went, and the session to go on after, None at the end.
    """
    seen = await connection.fetch(
        """
        SELECT tenant_id, id, updated_at < clock_timestamp() - $1::interval AS due FROM sessions
        WHERE $2::varchar IS NULL OR (tenant_id, id) > ($2, $3::varchar) ORDER BY tenant_id, id LIMIT $4
        """,
        kept,
        *(after or (None, None)),
        most,
    )
    rows, place = 0, after
    for session in seen:
        if session["due"] and await _lock_idle(connection, session["tenant_id"], session["id"], kept):
            taken, gone = await take_from_session(connection, session["tenant_id"], session["id"], most - rows)
            rows += taken
            if not gone:
                return rows, place or _FIRST
        place = Place(session["tenant_id"], session["id"])
    return rows, place if len(seen) == most else None


# Pieces in the order in which they go. Each statement takes the oldest rows first and at most $3 of them.
_PIECES = (
    """
    DELETE FROM run_events WHERE (run_id, seq) IN (
        SELECT e.run_id, e.seq FROM runs r JOIN run_events e ON e.run_id = r.id
        WHERE r.tenant_id = $1 AND r.session_id = $2 ORDER BY r.ordinal, e.seq LIMIT $3) RETURNING 1
    """,
    """
    DELETE FROM messages WHERE (run_id, position) IN (
        SELECT run_id, position FROM messages WHERE tenant_id = $1 AND session_id = $2 ORDER BY created_at, position LIMIT $3) RETURNING 1
    """,
    """
    DELETE FROM runs WHERE id IN (
        SELECT id FROM runs WHERE tenant_id = $1 AND session_id = $2 ORDER BY ordinal LIMIT $3) RETURNING 1
    """,
    """
    DELETE FROM past_turns WHERE run_id IN (
        SELECT run_id FROM past_turns WHERE tenant_id = $1 AND session_id = $2 ORDER BY ordinal LIMIT $3) RETURNING 1
    """,
    "DELETE FROM sessions WHERE tenant_id = $1 AND id = $2 AND $3::int > 0 RETURNING 1",
)


async def take_from_session(connection: Connection, tenant: str, session_id: str, most: int) -> tuple[int, bool]:
    """Delete at most `most` rows of a session that the caller has locked, and in the end its own; how many, and whether it is gone."""
    rows = 0
    for piece in _PIECES:
        if rows >= most:
            return rows, False
        rows += len(await connection.fetch(piece, tenant, session_id, most - rows))
    return rows, True


async def erase_sessions(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` rows of sessions of a user, or of a tenant, in which no run is live; how many."""
    found = await connection.fetch(
        """
        SELECT id FROM sessions s WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2) AND NOT EXISTS (
            SELECT FROM runs r WHERE r.tenant_id = $1 AND r.session_id = s.id AND r.status IN ('pending', 'running', 'paused')
        )
        LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
        """,
        tenant,
        user_id,
        most,
    )
    rows = 0
    for session in found:
        taken, gone = await take_from_session(connection, tenant, session["id"], most - rows)
        rows += taken
        if not gone:
            break
    return rows


async def erase_memories(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    """Delete at most `most` memories of a user, or of a tenant; how many."""
    rows = await connection.fetch(
        """
        DELETE FROM memories WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM memories WHERE tenant_id = $1 AND ($2::varchar IS NULL OR user_id = $2) LIMIT $3 FOR UPDATE SKIP LOCKED
        )) RETURNING 1
        """,
        tenant,
        user_id,
        most,
    )
    return len(rows)


async def _lock_idle(connection: Connection, tenant: str, session_id: str, kept: timedelta) -> bool:
    """Lock a session that is still untouched and has no live run: the opening of a run touches this row first."""
    return bool(
        await connection.fetchval(
            """
            SELECT true FROM sessions s
            WHERE tenant_id = $1 AND id = $2 AND updated_at < clock_timestamp() - $3::interval
              AND NOT EXISTS (
                SELECT FROM runs r WHERE r.tenant_id = $1 AND r.session_id = $2 AND r.status IN ('pending', 'running', 'paused')
              )
            FOR NO KEY UPDATE SKIP LOCKED
            """,
            tenant,
            session_id,
            kept,
        )
    )
