"""What jobs print while they run: stored a quarter of a second later at the latest, many jobs to a commit, bounded per job."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import structlog

from pointsman.jobs import events
from pointsman.jobs.rows import Claimed
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

OUTPUT = failpoints.declare("jobs.output", "What jobs have printed since the last time is stored.", ("in",))

MOST_BYTES = 2**20
"""Of a job's output that is kept, attempts together."""

Stream = Literal["stdout", "stderr"]
_INTERVAL = timedelta(milliseconds=250)

log = structlog.get_logger()

# Fenced like all that an attempt writes. What the job's row says was kept before makes it safe to repeat: a batch that was committed
# although its connection died finds another number.
_RESERVE = """
WITH held AS MATERIALIZED (
    SELECT a.* FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[]) AS a (job_id, epoch, kept, bytes, count)
    CROSS JOIN LATERAL (SELECT 1 FROM execution_jobs WHERE id = a.job_id AND status = 'running' FOR SHARE) j
    CROSS JOIN LATERAL (
        SELECT 1 FROM job_details WHERE job_id = a.job_id AND epoch = a.epoch AND output_bytes = a.kept FOR UPDATE
    ) d
)
UPDATE job_details d SET last_seq = d.last_seq + h.count, output_bytes = d.output_bytes + h.bytes
FROM held h WHERE d.job_id = h.job_id AND d.job_id = ANY (ARRAY(SELECT job_id FROM held))
RETURNING d.job_id, d.run_id, d.last_seq - h.count AS last
"""


@dataclass(slots=True)
class JobOutput:
    """The output of one attempt, since it was last stored."""

    attempt: Claimed
    kept: int
    pending: list[tuple[Stream, str]] = field(default_factory=list[tuple[Stream, str]])
    bytes: int = 0
    is_cut: bool = False

    def write(self, text: str, stream: Stream = "stdout") -> None:
        """Take in more; beyond the bound nothing is kept but one event that says so."""
        if self.is_cut or not text:
            return
        room = MOST_BYTES - self.kept - self.bytes
        kept = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") if len(text) * 4 > room else text
        if kept:
            self._add(stream, kept)
        self.is_cut = len(kept) < len(text)

    def _add(self, stream: Stream, text: str) -> None:
        self.bytes += len(text.encode("utf-8", "replace"))
        if self.pending and self.pending[-1][0] == stream:
            text = self.pending.pop()[1] + text
        self.pending.append((stream, text))


@dataclass(frozen=True, slots=True)
class _Batch:
    """What of one attempt is being stored."""

    output: JobOutput
    said: list[dict[str, object]]
    bytes: int


class OutputWriter:
    """Stores the output of all attempts of a process; `run` is its loop."""

    def __init__(self, db: Database, interval: timedelta = _INTERVAL) -> None:
        """Make one; what is written waits at most `interval`."""
        self._db = db
        self._interval = interval.total_seconds()
        self._open: dict[uuid.UUID, JobOutput] = {}
        self._cut: set[uuid.UUID] = set()
        self._writing = asyncio.Lock()

    def open(self, attempt: Claimed) -> JobOutput:
        """Where an attempt writes to; end it with `close`."""
        output = JobOutput(attempt, attempt.output_bytes, is_cut=attempt.output_bytes >= MOST_BYTES)
        if output.is_cut:  # an earlier attempt came to the bound, and said so
            self._cut.add(attempt.job_id)
        self._open[attempt.job_id] = output
        return output

    async def close(self, attempt: Claimed) -> None:
        """Store what is left of an attempt's output, before its end is. Raises Unavailable."""
        if attempt.job_id in self._open:
            await self.flush()
            self._open.pop(attempt.job_id, None)
            self._cut.discard(attempt.job_id)

    async def run(self) -> None:
        """Store until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.flush()
            except Unavailable:
                log.debug("output.waits")

    async def flush(self) -> None:
        """Store all that waits. Raises Unavailable; then it goes on waiting."""
        async with self._writing:
            batches = [batch for output in self._open.values() if (batch := self._taken(output)).said]
            if not batches:
                return
            async with self._db.transaction() as connection:
                await _store(connection, sorted(batches, key=lambda batch: batch.output.attempt.job_id))
            for batch in batches:
                self._stored(batch)

    def _taken(self, output: JobOutput) -> _Batch:
        said: list[dict[str, object]] = [{"stream": stream, "text": text} for stream, text in output.pending]
        if output.is_cut and output.attempt.job_id not in self._cut:
            said.append({"stream": "stdout", "text": "", "truncated": True})
        return _Batch(output, said, output.bytes)

    def _stored(self, batch: _Batch) -> None:
        """What was written meanwhile stays for the next time."""
        output = batch.output
        texts = [one for one in batch.said if "truncated" not in one]
        if len(texts) < len(batch.said):
            self._cut.add(output.attempt.job_id)
        if texts:
            last = len(texts) - 1
            stream, text = output.pending[last]
            rest = text[len(str(texts[last]["text"])) :]
            output.pending[: last + 1] = [(stream, rest)] if rest else []
        output.kept += batch.bytes
        output.bytes -= batch.bytes


async def _store(connection: Connection, batches: Sequence[_Batch]) -> None:
    attempts = [batch.output.attempt for batch in batches]
    rows = await connection.fetch(
        _RESERVE,
        [attempt.job_id for attempt in attempts],
        [attempt.epoch for attempt in attempts],
        [batch.output.kept for batch in batches],
        [batch.bytes for batch in batches],
        [len(batch.said) for batch in batches],
    )
    numbered = {row["job_id"]: row for row in rows}
    told = [
        events.Told(row["job_id"], row["run_id"], seq, events.OUTPUT, {"attempt": batch.output.attempt.epoch, **said})
        for batch in batches
        if (row := numbered.get(batch.output.attempt.job_id)) is not None
        for seq, said in enumerate(batch.said, start=row["last"] + 1)
    ]
    await events.tell(connection, told)
    await OUTPUT.reach("in")
