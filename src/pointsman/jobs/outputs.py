"""What jobs print while they run, as events: batched within a quarter of a second, bounded for each job, fenced by the attempt's epoch."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pointsman.jobs import events
from pointsman.jobs.points import OUTPUT
from pointsman.jobs.rows import Claimed
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable
from pointsman.kit.scrubbing import scrub_text
from pointsman.runs.events import pack

Stream = Literal["stdout", "stderr"]

MOST_BYTES = 2**20
"""Of a job's output that is kept as events, over all its attempts."""

_EVERY = 0.2
_CUT = "The rest of the output is not shown."

# In the order of ids, as everything that locks jobs does.
_RESERVE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS a (job_id, epoch, count, bytes)
), held AS (
    SELECT d.job_id, a.count, a.bytes FROM job_details d JOIN asked a ON a.job_id = d.job_id AND a.epoch = d.epoch
     WHERE d.output_bytes < $5 ORDER BY d.job_id FOR UPDATE OF d
)
UPDATE job_details d SET last_seq = d.last_seq + h.count, output_bytes = d.output_bytes + h.bytes FROM held h WHERE d.job_id = h.job_id
RETURNING d.job_id, d.last_seq - h.count AS last, d.output_bytes
"""
_STORE = """
INSERT INTO job_events (job_id, seq, last_seq, data)
SELECT e.job_id, e.seq, e.last_seq, e.data::json
  FROM unnest($1::uuid[], $2::int[], $3::int[], $4::text[]) AS e (job_id, seq, last_seq, data)
"""


@dataclass(slots=True)
class _Printed:
    claimed: Claimed
    chunks: list[tuple[Stream, str]] = field(default_factory=list[tuple[Stream, str]])
    size: int = 0
    total: int = 0
    is_cut: bool = False
    taken: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # and not stored yet

    def add(self, text: str, stream: Stream) -> None:
        if self.is_cut or not text:
            return
        self.size += len(text)
        if self.chunks and self.chunks[-1][0] == stream:
            text = self.chunks.pop()[1] + text
        self.chunks.append((stream, text))

    def take(self) -> list[dict[str, Any]]:
        """The payloads of what is not stored yet, the last of them saying so where it is cut; `stored` says that it is."""
        payloads = self.taken
        for stream, text in self.chunks:
            shown = scrub_text(text.replace("\x00", "�"))[: max(0, MOST_BYTES - self.total)]
            self.total += len(shown.encode(errors="replace"))
            if shown:
                payloads.append({"attempt": self.claimed.epoch, "stream": stream, "text": shown})
            if len(shown) < len(text) and self.total >= MOST_BYTES and not self.is_cut:
                self.is_cut = True
                payloads.append({"attempt": self.claimed.epoch, "stream": stream, "text": "", "cut": _CUT})
                break
        self.chunks, self.size = [], 0
        return payloads

    def stored(self) -> None:
        self.taken = []


class Outputs:
    """The output of all attempts of one process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._printed: dict[tuple[uuid.UUID, int], _Printed] = {}
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    def add(self, claimed: Claimed, text: str, stream: Stream) -> None:
        """An attempt printed something."""
        key = claimed.job_id, claimed.epoch
        self._printed.setdefault(key, _Printed(claimed)).add(text, stream)
        self._some.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_EVERY)
            self._some.clear()
            try:
                await self._write(list(self._printed.values()))
            except Unavailable:  # it is kept, and written with what comes next
                self._some.set()

    async def finish(self, claimed: Claimed) -> None:
        """Write what is left of an attempt, before its end is told. What cannot be written by then is not shown."""
        printed = self._printed.pop((claimed.job_id, claimed.epoch), None)
        if printed is not None:
            try:
                await self._write([printed])
            except Unavailable:
                return

    async def _write(self, printed: Sequence[_Printed]) -> None:
        async with self._writing:
            taken = [(one, payloads) for one in printed if (payloads := one.take())]
            if not taken:
                return
            async with self._db.transaction() as connection:
                await OUTPUT.reach("before")
                await _append(connection, taken)
                await OUTPUT.reach("in")
            for one, _ in taken:
                one.stored()
            await OUTPUT.reach("after")


async def _append(connection: Connection, taken: Sequence[tuple[_Printed, list[dict[str, Any]]]]) -> None:
    rows = await connection.fetch(
        _RESERVE,
        [one.claimed.job_id for one, _ in taken],
        [one.claimed.epoch for one, _ in taken],
        [len(payloads) for _, payloads in taken],
        [sum(len(payload["text"]) for payload in payloads) for _, payloads in taken],
        MOST_BYTES,
    )
    reserved = {row["job_id"]: row for row in rows}
    numbered: list[list[events.Told]] = []
    for one, payloads in taken:
        row = reserved.get(one.claimed.job_id)
        if row is None:
            one.is_cut = True  # another attempt has begun, or earlier ones have printed all that is kept
            continue
        one.total = max(one.total, row["output_bytes"])
        claimed, last = one.claimed, row["last"]
        numbered.append(
            [events.Told(claimed.job_id, claimed.run_id, last + place, events.OUTPUT, said) for place, said in enumerate(payloads, 1)]
        )
    await connection.execute(
        _STORE,
        [told[0].job_id for told in numbered],
        [told[0].seq for told in numbered],
        [told[-1].seq for told in numbered],
        [pack([one.event() for one in told]) for told in numbered],
    )
    await events.tell_runs(connection, [(one.job_id, one.run_id, one.type, one.payload) for told in numbered for one in told])
