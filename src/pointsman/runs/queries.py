"""Every statement about runs and events except the journal's; each returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.kit.db import Connection, Record
from pointsman.runs.events import Event, unpack

RESUMED = "resumed"  # the topic of runs that anybody may take over now

_RUN = """
SELECT id, ordinal, tenant_id, kind, subject, status, session_id, user_id, key_id, request::text AS request, snapshot, stream_verbosity,
       replica, epoch, reserved_seq, resumptions, resumed_epoch, cancel_requested, result::text AS result, error::text AS error,
       created_at, completed_at, parent_run_id,
       (SELECT p.session_id FROM runs p WHERE p.id = runs.parent_run_id) AS parent_session_id
FROM runs
"""


async def find_run(connection: Connection, run_id: str, tenant: str | None) -> Record | None:
    """The run, if the tenant may see it; a tenant of None sees all."""
    return await connection.fetchrow(_RUN + " WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2)", run_id, tenant)


async def list_runs(
    connection: Connection,
    *,
    tenant: str | None,
    limit: int,
    before: int | None,
    status: str | None,
    subject: str | None,
    session_id: str | None,
    user_id: str | None,
    parent_run_id: str | None,
) -> list[Record]:
    """Newest first; those that members of a team did for it only where their parent is asked for."""
    return await connection.fetch(
        _RUN
        + """
        WHERE ($1::varchar IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR ordinal < $2) AND ($3::varchar IS NULL OR status = $3)
          AND ($4::varchar IS NULL OR subject = $4) AND ($5::varchar IS NULL OR session_id = $5) AND ($6::varchar IS NULL OR user_id = $6)
          AND parent_run_id IS NOT DISTINCT FROM $8
        ORDER BY ordinal DESC LIMIT $7
        """,
        tenant,
        before,
        status,
        subject,
        session_id,
        user_id,
        limit,
        parent_run_id,
    )


async def list_live_children(connection: Connection, run_id: str) -> list[str]:
    """Runs of members that have not ended yet."""
    rows = await connection.fetch(
        "SELECT id FROM runs WHERE parent_run_id = $1 AND status IN ('pending', 'running', 'paused') ORDER BY id", run_id
    )
    return [row["id"] for row in rows]


async def hold_paused_children(connection: Connection, run_id: str) -> bool:
    """Whether a member's run is paused; then none of them goes on before the transaction ends. To be called before the run is locked."""
    held = await connection.fetch("SELECT id FROM runs WHERE parent_run_id = $1 AND status = 'paused' ORDER BY id FOR SHARE", run_id)
    return bool(held)


async def list_events(connection: Connection, run_id: str, after: int, rows: int = 200) -> list[Event]:
    """Stored events with an id above `after`, oldest first, from at most `rows` stored rows."""
    found = await connection.fetch(
        "SELECT data::text AS data FROM run_events WHERE run_id = $1 AND last_seq > $2 ORDER BY seq LIMIT $3", run_id, after, rows
    )
    return [event for row in found for event in unpack(row["data"]) if event.seq > after]


async def find_status(connection: Connection, run_id: str) -> str | None:
    """Only the status."""
    return await connection.fetchval("SELECT status FROM runs WHERE id = $1", run_id)


# A paused run has no owner: whoever takes it over next goes on from its last recorded step.
_GOES_ON = "status = 'running', replica = NULL, result = NULL, resumptions = resumptions + 1, resumed_epoch = epoch"


async def resume_paused(connection: Connection, run_id: str) -> bool:
    """Leave a paused run to whichever replica is first to take it over, told by NOTIFY; false when it is not paused."""
    resumed = await connection.fetchval(f"UPDATE runs SET {_GOES_ON} WHERE id = $1 AND status = 'paused' RETURNING true", run_id)
    if resumed:
        await connection.execute("SELECT pg_notify('pointsman', $1)", f"{RESUMED}:{run_id}")
        await _wake_parent(connection, run_id)
    return bool(resumed)


async def _wake_parent(connection: Connection, run_id: str) -> None:
    """A team's run that is paused because this member's is, and asks for nothing itself, goes on with it."""
    woken = await connection.fetchval(
        f"""
        UPDATE runs SET {_GOES_ON} WHERE id = (SELECT parent_run_id FROM runs WHERE id = $1) AND status = 'paused'
           AND NOT EXISTS (SELECT FROM approvals a WHERE a.run_id = runs.id AND a.job_id IS NULL AND a.status = 'pending')
        RETURNING id
        """,
        run_id,
    )
    if woken is not None:
        await connection.execute("SELECT pg_notify('pointsman', $1)", f"{RESUMED}:{woken}")


async def request_cancel(connection: Connection, run_id: str) -> bool:
    """Ask whoever drives the run to cancel it, or whoever takes it over where it is paused; false when it has ended."""
    return await _cancel_paused(connection, run_id) or await _cancel_driven(connection, run_id) or await _cancel_paused(connection, run_id)


async def _cancel_paused(connection: Connection, run_id: str) -> bool:
    asked = await connection.fetchval(
        f"UPDATE runs SET cancel_requested = true, {_GOES_ON} WHERE id = $1 AND status = 'paused' RETURNING true", run_id
    )
    if asked:
        await connection.execute("SELECT pg_notify('pointsman', $1)", f"{RESUMED}:{run_id}")
        await _wake_parent(connection, run_id)
    return bool(asked)


async def _cancel_driven(connection: Connection, run_id: str) -> bool:
    asked = await connection.fetchval(
        "UPDATE runs SET cancel_requested = true WHERE id = $1 AND status IN ('pending', 'running') RETURNING true", run_id
    )
    if asked:
        await connection.execute("SELECT pg_notify('pointsman', $1)", f"cancel:{run_id}")
    return bool(asked)


async def list_cancel_requests(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Which of these runs somebody wants cancelled."""
    rows = await connection.fetch("SELECT id FROM runs WHERE id = ANY($1) AND cancel_requested", list(run_ids))
    return [row["id"] for row in rows]


async def take_over(connection: Connection, *, replica: str, dead_after: float, most: int, block: int, run_id: str | None) -> list[Record]:
    """Make running runs whose replica is dead, or has let go of them, this replica's own.

    Their epoch rises, which fences the former owner, and a new block of event ids above every reserved one is theirs.
    """
    return await connection.fetch(
        """
        UPDATE runs SET replica = $1, epoch = epoch + 1, reserved_seq = reserved_seq + $4
        WHERE id IN (
            SELECT r.id FROM runs r
            WHERE r.status = 'running' AND r.kind <> 'supervised' AND ($5::varchar IS NULL OR r.id = $5)
              AND NOT EXISTS (
                SELECT FROM replicas p WHERE p.id = r.replica AND p.seen_at > clock_timestamp() - make_interval(secs => $2::float8)
              )
            ORDER BY r.ordinal LIMIT $3 FOR UPDATE OF r SKIP LOCKED
        )
        RETURNING id, tenant_id, kind, subject, session_id, user_id, key_id, request::text AS request, snapshot, stream_verbosity, epoch,
                  reserved_seq, resumptions, resumed_epoch, cancel_requested, parent_run_id,
                  (SELECT p.session_id FROM runs p WHERE p.id = runs.parent_run_id) AS parent_session_id
        """,
        replica,
        dead_after,
        most,
        block,
        run_id,
    )


async def find_snapshot(connection: Connection, digest: str) -> bytes | None:
    """What a run's subject had been resolved into."""
    found = await connection.fetchval("SELECT data::text FROM run_snapshots WHERE hash = $1", digest)
    return None if found is None else found.encode()


async def store_snapshot(connection: Connection, digest: str, data: bytes) -> None:
    """Keep it; the same content is kept once, from when it was last stored."""
    await connection.execute(
        "INSERT INTO run_snapshots (hash, data) VALUES ($1, $2::text::json) ON CONFLICT (hash) DO UPDATE SET created_at = now()",
        digest,
        data.decode(),
    )


async def let_go(connection: Connection, run_id: str, epoch: int, *, cancel: bool) -> None:
    """Leave one run to whoever takes it over: to be driven on, or, never driven by anybody, to be cancelled.

    In the latter case the epoch goes back to before the first owner, so that nobody counts a model call that was not made.
    """
    await connection.execute(
        """
        UPDATE runs SET replica = NULL, cancel_requested = cancel_requested OR $3, epoch = epoch - $3::int
        WHERE id = $1 AND epoch = $2 AND status = 'running'
        """,
        run_id,
        epoch,
        cancel,
    )


async def leave(connection: Connection, replica: str) -> None:
    """A replica that stops leaves its running runs to the others at once."""
    await connection.execute("UPDATE runs SET replica = NULL WHERE replica = $1 AND status = 'running'", replica)
    await connection.execute("DELETE FROM replicas WHERE id = $1", replica)


def parse(text: str | None) -> Any:
    """A JSON column."""
    return None if text is None else msgspec.json.decode(text)
