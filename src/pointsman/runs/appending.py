"""Events of runs that many write to: numbered and stored within the writer's own transaction, one writer of a run at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pointsman.kit.db import Connection
from pointsman.runs.events import Event, encode, pack

NewEvent = tuple[str, dict[str, Any]]

# The lock on the run's row lasts until the transaction ends: ids become visible in their order. It is taken in the order of ids, so
# that two writers of several runs never wait for each other.
_RESERVE = """
WITH asked AS (
    SELECT * FROM unnest($1::varchar[], $2::int[]) AS a (run_id, count)
), held AS (
    SELECT r.id FROM runs r JOIN asked a ON a.run_id = r.id
    WHERE r.status IN ('pending', 'running', 'paused') ORDER BY r.id FOR NO KEY UPDATE OF r
)
UPDATE runs r SET reserved_seq = r.reserved_seq + a.count FROM held h JOIN asked a ON a.run_id = h.id WHERE r.id = h.id
RETURNING r.id, r.reserved_seq - a.count AS last
"""

_STORE = """
INSERT INTO run_events (run_id, seq, last_seq, data)
SELECT e.run_id, e.seq, e.last_seq, e.data::json
FROM unnest($1::varchar[], $2::int[], $3::int[], $4::text[]) AS e (run_id, seq, last_seq, data)
"""


async def append(connection: Connection, run_id: str, events: Sequence[NewEvent]) -> list[Event]:
    """Type and payload of each become an event of the run, in this order. Nothing is written to a run that has ended."""
    return (await append_all(connection, {run_id: events})).get(run_id, [])


async def append_all(connection: Connection, events: Mapping[str, Sequence[NewEvent]]) -> dict[str, list[Event]]:
    """The same for several runs at once; what was written, by run. Call it once in a transaction."""
    if not events:
        return {}
    rows = await connection.fetch(_RESERVE, list(events), [len(of_run) for of_run in events.values()])
    numbered = {row["id"]: _numbered(row["id"], row["last"], events[row["id"]]) for row in rows}
    stored = {run_id: of_run for run_id, of_run in numbered.items() if of_run}
    if stored:
        await connection.execute(
            _STORE,
            list(stored),
            [of_run[0].seq for of_run in stored.values()],
            [of_run[-1].seq for of_run in stored.values()],
            [pack(of_run) for of_run in stored.values()],
        )
    return numbered


def _numbered(run_id: str, last: int, events: Sequence[NewEvent]) -> list[Event]:
    return [encode(run_id, seq, type_, payload) for seq, (type_, payload) in enumerate(events, start=last + 1)]
