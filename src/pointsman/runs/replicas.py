"""Which processes live, and who takes over the runs of those that died: one heartbeat, one epoch, no second lease."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import asyncpg
import structlog

from pointsman.kit import failpoints
from pointsman.kit.db import AWAY, Connection, Database, Record, connect
from pointsman.kit.ids import new_id
from pointsman.kit.problems import Unavailable
from pointsman.runs import queries
from pointsman.runs.live import BLOCK

log = structlog.get_logger()

_BEAT = """
INSERT INTO replicas (id, host) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
"""


_TAKING_OVER = failpoints.declare("runs.take_over", "Runs whose replica died become this replica's own; passed once a second.")


class Heartbeat:
    """Says that this process lives, from a thread of its own: a busy event loop must not look like a death."""

    def __init__(self, dsn: str, interval: timedelta) -> None:
        self.replica = new_id("rep")
        self._dsn = dsn
        self._interval = interval.total_seconds()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="heartbeat", daemon=True)
        self._unbroken_since = 0.0

    def start(self) -> None:
        """Begin; returns when the replica is known to the others, or after 5 s with the database away."""
        self._thread.start()
        self._first.wait(5)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def unbroken_for(self) -> float:
        """Seconds since which every beat came through; 0 while they fail."""
        return time.monotonic() - self._unbroken_since if self._unbroken_since else 0.0

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = await connect(self._dsn)
                try:
                    await self._beat(connection)
                finally:
                    with contextlib.suppress(*AWAY):
                        await connection.close(timeout=1)
            except (*AWAY, asyncpg.PostgresError) as error:
                # Also a full disk or a server that has become read-only for a while: a heart that stops is never started again.
                self._unbroken_since = 0.0
                log.warning("heartbeat.failed", error=type(error).__name__)
                await asyncio.sleep(min(self._interval, 0.5))

    async def _beat(self, connection: Connection) -> None:
        while not self._stop.is_set():
            async with asyncio.timeout(self._interval * 2 + 1):
                await connection.execute(_BEAT, self.replica, socket.gethostname())
            self._unbroken_since = self._unbroken_since or time.monotonic()
            self._first.set()
            await asyncio.to_thread(self._stop.wait, self._interval)


class Rescue:
    """Takes over the runs of dead replicas, and cancels what others asked to cancel here."""

    def __init__(self, db: Database, heartbeat: Heartbeat, *, dead_after: timedelta, redrive: Callable[[Record], None]) -> None:
        self._db = db
        self._heartbeat = heartbeat
        self._dead_after = dead_after.total_seconds()
        self._redrive = redrive
        self._free: set[str] = set()
        self._heard = asyncio.Event()
        self._taking = asyncio.Lock()
        self._stopped = False

    async def stop(self) -> None:
        """Take nothing over any more: this process is about to leave what it has. Returns when nothing is being taken, 2 s at most."""
        self._stopped = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2), self._taking:
                pass

    def hear(self, run_id: str | None) -> None:
        """A run is anybody's now, as NOTIFY says; without an id it is found by looking."""
        if run_id is not None:
            self._free.add(run_id)
            self._heard.set()

    async def run(self) -> None:
        """Look every second, and at once for what is heard of, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look())

    async def _listen(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            with contextlib.suppress(Unavailable):
                while self._free:
                    await self.run_once(self._free.pop())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(1)
            # After the database was away nobody's beat is fresh: whoever comes back first must not take the runs of the living.
            if self._heartbeat.unbroken_for() < self._dead_after:
                continue
            with contextlib.suppress(Unavailable):
                await self.run_once()

    async def run_once(self, run_id: str | None = None) -> int:
        """Take over what can be taken over now (or only the given run); returns how many runs. Raises Unavailable."""
        async with self._taking:
            if self._stopped:
                return 0
            async with self._db.connection() as connection:
                runs = await failpoints.around((_TAKING_OVER,), connection, lambda: self._take_over(connection, run_id))
                await connection.execute("DELETE FROM replicas WHERE seen_at < clock_timestamp() - interval '1 day'")
            for run in runs:
                log.info("run.taken_over", run_id=run["id"], epoch=run["epoch"])
                self._redrive(run)
            return len(runs)

    async def _take_over(self, connection: Connection, run_id: str | None) -> list[Record]:
        return await queries.take_over(
            connection, replica=self._heartbeat.replica, dead_after=self._dead_after, most=50, block=BLOCK, run_id=run_id
        )
