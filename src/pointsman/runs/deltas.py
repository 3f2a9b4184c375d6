"""The writer of deltas: what all runs of this process sent within the flush interval is stored in one insert."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
import structlog

from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_commit import GroupCommit
from pointsman.runs.events import Event, pack
from pointsman.runs.live import LiveRun, LiveRuns

# A replica that was presumed dead stores nothing: its epoch is no longer the run's. Which runs are still its own comes back.
_INSERT = """
WITH asked AS (
    SELECT * FROM unnest($1::varchar[], $2::int[], $3::int[], $4::int[], $5::text[]) AS d (run_id, epoch, seq, last_seq, data)
), held AS (
    SELECT r.id FROM asked d JOIN runs r ON r.id = d.run_id AND r.epoch = d.epoch
), stored AS (
    INSERT INTO run_events (run_id, seq, last_seq, data)
    SELECT d.run_id, d.seq, d.last_seq, d.data::json FROM asked d JOIN held h ON h.id = d.run_id
    ON CONFLICT DO NOTHING
)
SELECT id FROM held
"""

_STORING = failpoints.declare("deltas", "Deltas that readers have seen already are stored, for all streams of the process at once.")

log = structlog.get_logger()

_Rows = list[tuple[LiveRun, list[Event]]]


class DeltaWriter:
    """Stores what was emitted, every `interval`."""

    def __init__(self, db: Database, live: LiveRuns, interval: timedelta, written: Callable[[int, float], None]) -> None:
        """Make one; `written` is told the rows and seconds of each write."""
        self._live = live
        self._written = written
        self._flushing = asyncio.Lock()
        self._interval = interval.total_seconds()
        self._commits: GroupCommit[_Rows, frozenset[str]] = GroupCommit(db, _write, name="deltas", failpoint=lambda _: _STORING)

    async def run(self) -> None:
        """Write whenever something was emitted, at most once an interval, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commits.run())
            while True:
                await self._live.pending.wait()
                await asyncio.sleep(self._interval)
                await self.flush()

    async def flush(self) -> None:
        """Store what is pending now; returns when it is durable."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        self._live.pending.clear()
        rows: _Rows = [(run, run.take_pending()) for run in self._live if run.has_pending]
        if not rows:
            return
        flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for run, _ in rows:
            run.flushing = flushed
        began = time.monotonic()
        try:
            held = await self._commits.commit(rows)
            self._written(len(rows), time.monotonic() - began)
            for run, events in rows:
                run.stored(events[-1].seq)
                if run.run_id not in held:  # readers go on with its new owner now, not when this process records its next step
                    run.abandon()
        except asyncpg.PostgresError as error:
            # A server that is full or read-only for a while: readers have the events already, so they are only first in line again.
            log.warning("deltas.not_stored", runs=len(rows), error=type(error).__name__)
            for run, events in rows:
                run.give_back(events)
        finally:
            flushed.set_result(None)
            for run, _ in rows:
                run.flushing = None


async def _write(connection: Connection, ops: Sequence[_Rows]) -> list[frozenset[str]]:
    rows = [row for op in ops for row in op]
    held = await connection.fetch(
        _INSERT,
        [run.run_id for run, _ in rows],
        [run.epoch for run, _ in rows],
        [events[0].seq for _, events in rows],
        [events[-1].seq for _, events in rows],
        [pack(events) for _, events in rows],
    )
    return [frozenset(row["id"] for row in held)] * len(ops)
