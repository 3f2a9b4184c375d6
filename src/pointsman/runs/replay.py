"""Following a run: from memory where it is driven here, from the database otherwise, without a gap between the two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager

from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.runs import queries
from pointsman.runs.events import TERMINAL, Event
from pointsman.runs.live import LiveRun, LiveRuns

_SOONEST = 0.05
_LATEST = 0.5
_ENDED = frozenset({"completed", "failed", "cancelled", None})


class Replay:
    """Reads events of any run, ended or not, whichever replica drives it."""

    def __init__(self, db: Database, live: LiveRuns) -> None:
        self._db = db
        self._live = live
        self._followers = 0

    def followers(self) -> int:
        """How many readers are following something right now: runs, and what else is counted."""
        return self._followers

    async def follow(self, run_id: str, after: int = 0, *, through_pauses: bool = True) -> AsyncGenerator[list[Event]]:
        """Batches of events above `after` as they come; ends after the terminal one, and without `through_pauses` where the run is paused.

        A database that is away for a moment only delays what has not been read yet.
        """
        with self.counted():
            async with aclosing(self.read_on(run_id, after, through_pauses=through_pauses)) as batches:
                async for batch in batches:
                    yield batch

    @contextmanager
    def counted(self) -> Generator[None]:
        """One more reader of this process, whatever it follows."""
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1

    async def read_on(self, run_id: str, after: int, *, through_pauses: bool) -> AsyncGenerator[list[Event]]:
        """The same for a reader of our own, which is no stream of a client's."""
        pause = _SOONEST
        while True:
            live = self._live.find(run_id)
            if live is not None:
                async for batch in self._follow_live(live, after):
                    after = batch[-1].seq
                    yield batch
                if live.ended:
                    return
            batch, status = await self._read(run_id, after)
            ended = status in _ENDED or (status == "paused" and not through_pauses)
            if batch:
                after = batch[-1].seq
                pause = _SOONEST
                yield batch
            if ended and not batch:
                return
            if any(event.type in TERMINAL for event in batch):
                return
            if not batch:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LATEST)

    async def _follow_live(self, live: LiveRun, after: int) -> AsyncGenerator[list[Event]]:
        while not live.abandoned:
            if after + 1 < live.base:
                base = live.base  # it moves on while the database is read
                batch, _ = await self._read(live.run_id, after)
                batch = [event for event in batch if event.seq < base]
                if not batch:  # ids that were reserved and never used
                    after = base - 1
                    continue
            else:
                batch = live.after(after)
            if batch:
                after = batch[-1].seq
                yield batch
            elif live.ended:
                return
            else:
                await live.changed()

    async def _read(self, run_id: str, after: int) -> tuple[list[Event], str | None]:
        """The status is read first: a run that had ended before has all its events in what is read after."""
        while True:
            try:
                async with self._db.connection() as connection:
                    status = await queries.find_status(connection, run_id)
                    batch = await queries.list_events(connection, run_id, after)
            except Unavailable:
                await asyncio.sleep(_LATEST)
            else:
                return batch, status
