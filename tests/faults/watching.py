"""Watches one gateway process for as long as it lives: what it holds, and whether runs stay under way for too long."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import asyncpg
from tests.faults.processes import held
from tests.faults.series import Series
from tests.faults.stage import Replica, Stage

from pointsman.kit.db import connect

STUCK_AFTER = 30.0  # seconds since the run began or the last fault ended, whichever is later
RESIDENT, PROPORTIONAL, FILES, CONNECTIONS = "memory, resident", "memory, proportional", "open files besides connections", "TCP connections"
TASKS, DATABASE, RUNS, STREAMS = "asyncio tasks", "database connections", "runs", "streams"
UNITS = {RESIDENT: "KB", PROPORTIONAL: "KB"}
_GAUGES = {
    TASKS: "pointsman_tasks",
    DATABASE: 'pointsman_db_connections_open{pool="database"}',
    RUNS: "pointsman_runs_live",
    STREAMS: "pointsman_streams_live",
}
_STUCK = """
SELECT id, request->>'message' AS message FROM runs
WHERE status IN ('pending', 'running') AND created_at < clock_timestamp() - make_interval(secs => $1::float8)
"""
Reading = dict[str, float]


@dataclass
class Watch:
    """The series of one replica, by the seconds since the watch began."""

    stage: Stage
    replica: Replica
    series: dict[str, Series] = field(default_factory=dict[str, Series])
    stuck: dict[str, str] = field(default_factory=dict[str, str])  # what the user said, by run
    _began: float = field(default_factory=time.monotonic)
    _calm_since: float = field(default_factory=time.monotonic)
    _faults: int = 0

    @property
    def seconds(self) -> float:
        """How long it watches."""
        return time.monotonic() - self._began

    @asynccontextmanager
    async def running(self, every: float) -> AsyncGenerator[None]:
        """Measure until the block ends."""
        task = asyncio.create_task(self._run(every))
        try:
            yield
        finally:
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError), f"the watch ended with {outcome!r}"

    @asynccontextmanager
    async def disturbed(self) -> AsyncGenerator[None]:
        """A fault is under way; runs get their time anew when it has ended."""
        self._faults += 1
        try:
            yield
        finally:
            self._faults -= 1
            self._calm_since = time.monotonic()

    async def read(self) -> Reading:
        """What it holds now. Raises OSError or TransportError when it is gone."""
        now = held(self.replica.pid)
        text = (await self.stage.http.get(f"{self.replica.url}/metrics")).text
        gauges = {name: _gauge(text, gauge) for name, gauge in _GAUGES.items()}
        files = now.files - gauges[DATABASE]  # whose connections are Unix sockets
        return {RESIDENT: now.rss, PROPORTIONAL: now.pss, FILES: files, CONNECTIONS: now.connections, **gauges}

    async def _run(self, every: float) -> None:
        while True:
            reading = await self.read()
            for name, value in reading.items():
                self.series.setdefault(name, Series(name, UNITS.get(name, ""))).add(self.seconds, value)
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # the database is away: a fault
                await self._look_for_stuck_runs()
            await asyncio.sleep(every)

    async def _look_for_stuck_runs(self) -> None:
        if self._faults or time.monotonic() - self._calm_since < STUCK_AFTER:
            return
        connection = await connect(self.stage.dsn, role=None)
        try:
            rows = await connection.fetch(_STUCK, STUCK_AFTER)
        finally:
            await connection.close()
        self.stuck |= {row["id"]: row["message"] for row in rows}


def _gauge(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"the metrics have no {name}"
    return float(found[1])
