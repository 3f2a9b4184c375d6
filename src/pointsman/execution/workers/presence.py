"""A worker says what it is, now and then. Informational: whether it lives is told by its messages' heartbeats."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from datetime import timedelta

from pointsman import __version__
from pointsman.execution.workers import queries
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable

_EVERY = timedelta(seconds=5)


class Presence:
    """One worker's row."""

    def __init__(self, db: Database, worker_id: str, *, worker_pool: str, slots: int) -> None:
        self._db = db
        self._id = worker_id
        self._pool = worker_pool
        self._slots = slots
        self.isolation: str | None = None
        self.draining = False

    async def run(self) -> None:
        """Say it every five seconds until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.say()
            await asyncio.sleep(_EVERY.total_seconds())

    async def say(self) -> None:
        """Raises Unavailable."""
        async with self._db.connection() as connection:
            await queries.beat(
                connection,
                self._id,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                worker_pool=self._pool,
                slots=self._slots,
                isolation=self.isolation,
                draining=self.draining,
            )
            await queries.forget_silent(connection)

    async def leave(self) -> None:
        """It has ended."""
        with contextlib.suppress(Unavailable):
            async with self._db.connection() as connection:
                await queries.forget(connection, self._id)
