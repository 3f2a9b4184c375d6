"""A database with one worker process and nothing else on it: what jobs are measured on."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import children, cpu_seconds, started
from pointsman.execution.defaults import make_defaults
from pointsman.jobs.creating import create_jobs
from pointsman.jobs.rows import NewJob
from pointsman.kit.db import Connection, Database, connect
from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate

POOL = "linux_worker_pool"
_SLOTS = 1000  # of the target: it is the worker that is measured, not a limit of the operator's
_FEEDERS = 4
_UNDER_WAY = """
SELECT EXISTS (SELECT FROM execution_jobs j JOIN job_details d ON d.job_id = j.id
                WHERE j.completed_at IS NULL AND NOT d.parked AND d.worker_pool = $1)
"""
_SETTLED = 15.0  # seconds after which idle sessions have told of what they did


@dataclass
class Workshop:
    """One worker and its database."""

    db: Database
    looking: Connection
    worker_pid: int
    postmaster_pid: int

    async def create(self, jobs: Sequence[NewJob], *, batch: int = 20) -> None:
        """Create them, so many to a transaction."""
        parts = iter([jobs[start : start + batch] for start in range(0, len(jobs), batch)])

        async def feed() -> None:
            for part in parts:
                async with self.db.transaction() as connection:
                    await create_jobs(connection, part)

        await asyncio.gather(*(feed() for _ in range(_FEEDERS)))

    async def all_ended(self, within: float = 120.0) -> None:
        """Wait until no job is under way that could be."""
        async with asyncio.timeout(within):
            while True:
                if not await self._are_under_way():
                    return
                await asyncio.sleep(0.02)

    async def _are_under_way(self) -> bool:
        return await self.looking.fetchval(_UNDER_WAY, POOL)

    async def pick_ups(self, count: int) -> list[float]:
        """Milliseconds from the creation of each of so many single jobs to its start."""
        jobs = [job() for _ in range(count)]
        for one in jobs:
            await self.create([one])
            await asyncio.sleep(0.025)
        await self.all_ended()
        rows = await self.looking.fetch(
            "SELECT extract(epoch FROM started_at - created_at) * 1000 AS ms FROM execution_jobs WHERE id = ANY($1)",
            [one.id for one in jobs],
        )
        return [float(row["ms"]) for row in rows]

    async def transactions(self) -> int:
        """That there were in the database so far."""
        return await self.looking.fetchval("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")

    async def settle(self) -> None:
        """Wait until the worker does next to nothing, and what was done before has been counted."""
        await asyncio.sleep(_SETTLED)

    def cost(self) -> tuple[float, float]:
        """Processor seconds of the worker and of the database's processes."""
        database = sum(cpu_seconds(pid) for pid in (self.postmaster_pid, *children(self.postmaster_pid)))
        return cpu_seconds(self.worker_pid), database


def job(**more: object) -> NewJob:
    """A job that does nothing, or what is said."""
    values: dict[str, object] = {
        "tenant_id": "",
        "prompt": "Nothing.",
        "kind": "-",
        "job_spec": "{}",
        "timeout_seconds": 900.0,
        "max_attempts": 3,
        "most_memory_mb": 256,
        **more,
    }
    return NewJob(**values)  # type: ignore[arg-type]


@asynccontextmanager
async def workshop(folder: Path) -> AsyncGenerator[Workshop]:
    """Everything new in the folder, with one worker process that has warmed up."""
    server = EmbeddedPostgres(folder)
    dsn = await asyncio.to_thread(server.start)
    try:
        await migrate(dsn)
        db = await Database.connect(dsn, pool_size=_FEEDERS + 2)
        looking = await connect(dsn, role=None)
        try:
            await make_defaults(db)
            await looking.execute(
                "UPDATE execution_targets SET capacity = capacity || jsonb_build_object('max_concurrent_jobs', $1::int)", _SLOTS
            )
            with started(*_worker(dsn, folder)) as process:
                made = Workshop(db, looking, process.pid, _postmaster(folder))
                await made.create([job() for _ in range(300)])
                await made.all_ended()
                yield made
        finally:
            await looking.close()
            await db.close()
    finally:
        await asyncio.to_thread(server.stop)


def percentile(values: Sequence[float], part: int) -> float:
    """The value below which so many hundredths are."""
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1]


def _postmaster(folder: Path) -> int:
    (file,) = folder.resolve().rglob("postmaster.pid")
    return int(file.read_text().split("\n", 1)[0])


def _worker(dsn: str, folder: Path) -> tuple[list[str], dict[str, str], Path]:
    settings = {"POINTSMAN_DATABASE__URL": dsn, "POINTSMAN_DATA_DIR": str(folder), "POINTSMAN_LOG__LEVEL": "warning"}
    return [sys.executable, "-m", "pointsman", "worker"], settings, folder / "worker.log"
