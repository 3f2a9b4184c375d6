"""Tells attempts under way that they are to end: somebody cancelled the job, or it is another worker's by now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal

from pointsman.jobs import attempts
from pointsman.jobs.attempts import Attempt
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable

News = Literal["cancelled", "gone"]
CANCEL_TOPIC = "job_cancel"


class Watch:
    """The attempts of one process; the database is asked once a second about all of them, and a hint makes a cancel quicker."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._watched: dict[Attempt, Callable[[News], None]] = {}
        self._hinted = asyncio.Event()

    def add(self, attempt: Attempt, tell: Callable[[News], None]) -> None:
        """From now on `tell` is called, once or more often, when the attempt is to end."""
        self._watched[attempt] = tell

    def remove(self, attempt: Attempt) -> None:
        """It has ended."""
        self._watched.pop(attempt, None)

    def hint(self, job_id: str | None) -> None:
        """A cancel was announced, or announcements may have been missed (None)."""
        if job_id is None or any(str(watched) == job_id for watched, _ in self._watched):
            self._hinted.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._hinted.wait()
            self._hinted.clear()
            if self._watched:
                with contextlib.suppress(Unavailable):
                    await self.look()

    async def look(self) -> None:
        """Tell what there is to be told now. Raises Unavailable."""
        watched = dict(self._watched)
        async with self._db.connection() as connection:
            running = await attempts.find_running(connection, watched)
        for attempt, tell in watched.items():
            if attempt not in running:
                tell("gone")
            elif running[attempt]:
                tell("cancelled")
