"""Following a job: its stored events, then those that come, on any replica."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator

from pointsman.jobs import queries
from pointsman.jobs.events import list_events
from pointsman.jobs.states import ENDED
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.runs.events import Event
from pointsman.runs.replay import Replay

_SOONEST = 0.05
_LATEST = 0.5


class JobReplay:
    """Reads events of any job, ended or not, whichever worker runs it."""

    def __init__(self, db: Database, replay: Replay) -> None:
        """Make one; its readers are counted with those of `replay`."""
        self._db = db
        self._replay = replay

    async def follow(self, job_id: uuid.UUID, after: int = 0) -> AsyncGenerator[list[Event]]:
        """Batches of events above `after` as they come, until the job has ended and all was said.

        A database that is away for a moment only delays what has not been read yet.
        """
        pause = _SOONEST
        with self._replay.counted():
            while True:
                batch, ended = await self._read(job_id, after)
                if batch:
                    after = batch[-1].seq
                    pause = _SOONEST
                    yield batch
                elif ended:
                    return
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 1.5, _LATEST)

    async def _read(self, job_id: uuid.UUID, after: int) -> tuple[list[Event], bool]:
        """The status is read first: a job that had ended before has all its events in what is read after."""
        while True:
            try:
                async with self._db.connection() as connection:
                    row = await queries.find_status(connection, job_id)
                    batch = await list_events(connection, job_id, after)
            except Unavailable:
                await asyncio.sleep(_LATEST)
            else:
                return batch, row is None or row["status"] in ENDED
