"""Events of a job: numbered in its own log, and told to its run's, within the transaction that makes them true."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pointsman.kit.db import Connection
from pointsman.runs import appending
from pointsman.runs.events import Event, Verbosity, encode_json, pack, unpack

QUEUED = "job.queued"
STARTED = "job.started"
OUTPUT = "job.output"
FINISHED = "job.finished"

_STORE = """
INSERT INTO job_events (job_id, seq, last_seq, data)
SELECT e.job_id, e.seq, e.last_seq, e.data::json
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) AS e (job_id, seq, last_seq, data)
"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a job whose number `seq` the job's row has given."""

    job_id: uuid.UUID
    run_id: str | None
    seq: int
    type: str
    payload: dict[str, Any]

    def event(self) -> Event:
        """The bytes that every reader of the job will see."""
        return encode(self.job_id, self.run_id, self.seq, self.type, self.payload)


def encode(job_id: uuid.UUID, run_id: str | None, seq: int, type_: str, payload: dict[str, Any]) -> Event:
    """Number an event and turn it into the bytes that every reader will see."""
    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")[:-6]
    run = b'"run_id":"%s",' % run_id.encode() if run_id else b""
    head = b'{"job_id":"%s",%s"seq":%d,"at":"%sZ"' % (str(job_id).encode(), run, seq, at.encode())
    body = encode_json(payload)
    return Event(seq, type_, head + (b"}" if body == b"{}" else b"," + body[1:]))


def visible(event: Event, verbosity: Verbosity) -> bool:
    """Whether a reader of a job's own log with this verbosity is shown the event."""
    if verbosity == "result":
        return event.seq == 1 or event.type == FINISHED
    return verbosity == "full" or event.type != OUTPUT


async def tell(connection: Connection, told: Sequence[Told]) -> None:
    """Store events in their jobs' logs and in those of their runs; those of one job stand together, and become one row."""
    if not told:
        return
    rows = [(job_id, [one.event() for one in of_job]) for job_id, of_job in groupby(told, key=lambda one: one.job_id)]
    await connection.execute(
        _STORE,
        [job_id for job_id, _ in rows],
        [of_job[0].seq for _, of_job in rows],
        [of_job[-1].seq for _, of_job in rows],
        [pack(of_job) for _, of_job in rows],
    )
    await tell_runs(connection, [(one.job_id, one.run_id, one.type, one.payload) for one in told])


async def tell_runs(connection: Connection, told: Sequence[tuple[uuid.UUID, str | None, str, dict[str, Any]]]) -> None:
    """Job, run, type and payload of events: those that have a run are stored in its log."""
    of_runs: dict[str, list[appending.NewEvent]] = defaultdict(list)
    for job_id, run_id, type_, payload in told:
        if run_id is not None:
            of_runs[run_id].append((type_, {"job_id": str(job_id), **payload}))
    await appending.append_all(connection, of_runs)


async def append(connection: Connection, job_id: uuid.UUID, told: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Type and payload of each become an event of the job and of its run, in the caller's transaction."""
    row = await connection.fetchrow(
        "UPDATE job_details SET last_seq = last_seq + $2 WHERE job_id = $1 RETURNING run_id, last_seq - $2 AS last", job_id, len(told)
    )
    if row is not None:
        numbered = enumerate(told, start=row["last"] + 1)
        await tell(connection, [Told(job_id, row["run_id"], seq, type_, payload) for seq, (type_, payload) in numbered])


async def list_events(connection: Connection, job_id: uuid.UUID, after: int, rows: int = 200) -> list[Event]:
    """Stored events with an id above `after`, oldest first, from at most `rows` stored rows."""
    found = await connection.fetch(
        "SELECT data::text AS data FROM job_events WHERE job_id = $1 AND last_seq > $2 ORDER BY seq LIMIT $3", job_id, after, rows
    )
    return [event for row in found for event in unpack(row["data"]) if event.seq > after]
