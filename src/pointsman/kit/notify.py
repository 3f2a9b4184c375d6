"""Hints between processes over NOTIFY: quick, never the truth, so whoever caches also has an age limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog

from pointsman.kit.db import AWAY, Connection, connect

CHANNEL = "pointsman"
Callback = Callable[[str | None], None]

log = structlog.get_logger()


async def notify(connection: Connection, topic: str, object_id: object) -> None:
    """Tell every process, when the caller's transaction commits, that the object has changed."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{topic}:{object_id}")


class Listener:
    """One connection that listens for the whole process and comes back after the database was away."""

    def __init__(self, dsn: str, *, silence: float = 5.0) -> None:
        """Make one; a server that does not answer for `silence` seconds is given up."""
        self._dsn = dsn
        self._silence = silence
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)

    def subscribe(self, topic: str, callback: Callback) -> None:
        """Call `callback` with the id of each changed object, and with None whenever hints may have been missed."""
        self._callbacks[topic].append(callback)

    async def run(self) -> None:
        """Listen until cancelled."""
        delay = 0.1
        while True:
            try:
                connection = await connect(self._dsn, role=None)
                try:
                    await self._listen(connection)
                    delay = 0.1
                finally:
                    # A silent line would never confirm the end of the connection.
                    with contextlib.suppress(*AWAY):
                        await connection.close(timeout=1)
            except AWAY as error:
                log.warning("notifications.lost", error=type(error).__name__, retry_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    async def _listen(self, connection: Connection) -> None:
        await connection.add_listener(CHANNEL, self._received)
        for callbacks in self._callbacks.values():
            for callback in callbacks:
                callback(None)
        while not connection.is_closed():
            await asyncio.sleep(1)
            async with asyncio.timeout(self._silence):
                await connection.execute("SELECT 1")

    def _received(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        del connection, pid, channel
        topic, _, object_id = payload.partition(":")
        for callback in self._callbacks.get(topic, ()):
            callback(object_id)
