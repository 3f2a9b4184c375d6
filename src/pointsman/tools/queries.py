"""Every statement on calls that were sent."""

from __future__ import annotations

from pointsman.kit.db import Connection

_NOTE_SENT = "INSERT INTO sent_calls (run_id, step, call_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING step"


async def note_sent(connection: Connection, run_id: str, step: int, call_id: str) -> bool:
    """Whether this is the first time; the note is there when this returns."""
    return await connection.fetchval(_NOTE_SENT, run_id, step, call_id) is not None
