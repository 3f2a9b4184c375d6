"""Deliveries at work: taken by any replica, held by the database's clock, sent side by side, and put off while they fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from pointsman.kit import failpoints
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.webhooks import delivery_queries as queries
from pointsman.webhooks.notifying import Channels
from pointsman.webhooks.pace import LEASE, MOST_ATTEMPTS
from pointsman.webhooks.rows import Due, Outcome
from pointsman.webhooks.settling import settle

Send = Callable[[Due], Awaitable[Outcome]]

_LOOK = 1.0
_MOST = 48
_EACH = 4
"""Attempts at once for one endpoint that works; one for one that does not."""
_EACH_CHANNEL = 2

SENDING = failpoints.declare("webhooks.send", "A delivery is held: it is sent, and what came of it is written.", ("before", "after"))

log = structlog.get_logger()


class Deliverer:
    """Delivers what is due, beside any number of other replicas."""

    def __init__(self, db: Database, send: Send, channels: Channels) -> None:
        self._db = db
        self._send = send
        self._channels = channels
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()
        self._has_room = asyncio.Event()

    async def run(self) -> None:
        """Look every second until cancelled; what was under way then is taken up by another when its lease is over."""
        try:
            while True:
                self._has_room.clear()
                with contextlib.suppress(Unavailable):
                    await self.take()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._has_room.wait(), _LOOK)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run_once(self) -> int:
        """Take what is due, and wait until it is settled; how many. Raises Unavailable."""
        taken = await self.take()
        await asyncio.gather(*self._tasks)
        return taken

    async def take(self) -> int:
        """Begin with what is due and there is room for; how many. Raises Unavailable."""
        async with self._db.connection() as connection:
            if not await queries.has_due(connection):
                return 0
        self._busy = +self._busy  # without those that are done
        busy, room = self._busy.copy(), _MOST - self._busy.total()
        async with self._db.transaction() as connection:
            await queries.give_up(connection, MOST_ATTEMPTS)
            found = await queries.claim(connection, LEASE, busy, each=_EACH, most=room)
            free = {channel: _EACH_CHANNEL - busy[channel] for channel in self._channels.ids}
            told = await queries.claim_channels(connection, LEASE, free) if free else []
        for due in found:
            self._begin(due, self._send)
        for due in told:
            self._begin(due, self._channels.send)
        return len(found) + len(told)

    def _begin(self, due: Due, send: Send) -> None:
        self._busy[due.whom] += 1
        task = asyncio.create_task(self._deliver(due, send))
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, due))

    def _ended(self, task: asyncio.Task[None], due: Due) -> None:
        self._tasks.discard(task)
        self._busy[due.whom] -= 1
        self._has_room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhooks.broke", delivery_id=due.id, error=type(error).__name__)

    async def _deliver(self, due: Due, send: Send) -> None:
        await SENDING.reach("before")
        outcome = await send(due)
        await SENDING.reach("after")
        # Where the database is away it is sent again, once the lease is over: at least once, under the same id.
        with contextlib.suppress(Unavailable):
            async with self._db.transaction() as connection:
                await settle(connection, due, outcome)
