"""Jobs: how many a worker does, how soon it begins, what a sandbox costs, and what a worker costs that has nothing to do."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.results import OURS, Row, Values
from benchmarks.stage import Stage
from benchmarks.workshop import POOL, Workshop, job, percentile, workshop
from pointsman.execution.ports import SandboxSpec
from pointsman.execution.runners.local.runner import LocalRunner

_BACKLOG = 100_000
_FULL = """
INSERT INTO execution_targets (id, name, type, connection_config, capacity, worker_pool)
SELECT 'full', 'full', type, connection_config, capacity || '{"max_concurrent_jobs": 0}', worker_pool
  FROM execution_targets WHERE id = 'local'
"""

Measure = Callable[[Workshop, Row, Stage], Coroutine[Any, Any, None]]


def throughput(stage: Stage) -> Row:
    """Jobs without commands, from their creation to their end: row, queue, claim, two durable transitions, three events."""
    row = _measured(stage, Row("jobs", "jobs that do nothing, from creation to end, one worker process"), _throughput)
    row.mark("jobs/s", "jobs_per_second", ">=", 800)
    return row


def pick_up(stage: Stage) -> Row:
    """Single jobs, with nothing else there and with a hundred thousand others queued."""
    row = _measured(stage, Row("jobs-pick-up", f"pick-up of single jobs, with none and with {_BACKLOG:,} others queued"), _pick_up)
    row.mark("p50 ms", "p50_ms", "<=", 10)
    row.mark("p99 ms", "p99_ms", "<=", 50)
    behind = f"{_BACKLOG:,} queued"
    row.mark("p50 to that with none queued", lambda side: side["p50_ms"] / row.sides[OURS]["p50_ms"], "<=", 1.5, side=behind)
    return row


def sandbox(stage: Stage) -> Row:
    """`true` in a local sandbox, opened and closed for it, beside `true` as a bare process."""
    row = Row("jobs-sandbox", "`true` in a local sandbox of its own, beside a bare process")
    row.sides["floor"] = _bare()
    row.sides[OURS] = asyncio.run(_sandboxed(stage.folder / "sandboxes"))
    row.mark("ms over the bare process", lambda side: side["p50_ms"] - row.sides["floor"]["p50_ms"], "<=", 60)
    return row


def idle(stage: Stage) -> Row:
    """A worker that has nothing to do."""
    row = _measured(stage, Row("jobs-idle", f"a worker without jobs, over {stage.options.duration:g} s"), _idle)
    row.mark("CPU %", "cpu_percent", "<", 1.0)
    row.mark("transactions/s", "transactions_per_second", "<=", 5)
    return row


def _measured(stage: Stage, row: Row, measure: Measure) -> Row:
    async def run() -> None:
        async with workshop(stage.folder / row.name) as made:
            await measure(made, row, stage)

    asyncio.run(run())
    return row


async def _throughput(made: Workshop, row: Row, stage: Stage) -> None:
    count = stage.options.requests * 2
    rounds: list[Values] = []
    for _ in range(stage.options.rounds):
        before, began = made.cost(), time.monotonic()
        await made.create([job() for _ in range(count)])
        created = time.monotonic() - began
        await made.all_ended()
        seconds = time.monotonic() - began
        worker, database = (after - then for after, then in zip(made.cost(), before, strict=True))
        rounds.append(
            {
                "jobs_per_second": count / seconds,
                "created_per_second": count / created,
                "cpu_ms": worker / count * 1000,
                "database_cpu_ms": database / count * 1000,
            }
        )
    row.sides[OURS] = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


async def _pick_up(made: Workshop, row: Row, stage: Stage) -> None:
    count = max(50, stage.options.requests // 10)
    row.sides[OURS] = _times(await made.pick_ups(count))
    await made.looking.execute(_FULL)
    # Those that wait for a full target, in the very pool, and as many messages of a pool that nobody works for.
    await made.create([job(target_id="full")])
    await asyncio.sleep(2)
    for waiting in ({"target_id": "full"}, {"worker_pool": "nobody"}):
        await made.create([job(**waiting) for _ in range(_BACKLOG)], batch=500)
    await made.looking.execute("ANALYZE")
    await asyncio.sleep(5)
    row.sides[f"{_BACKLOG:,} queued"] = _times(await made.pick_ups(count))
    row.notes.append(f"{_BACKLOG:,} jobs wait for a slot of a full target in the pool {POOL}, as many messages for another pool.")


async def _idle(made: Workshop, row: Row, stage: Stage) -> None:
    await made.settle()
    before, began, transactions = made.cost(), time.monotonic(), await made.transactions()
    await asyncio.sleep(stage.options.duration)
    seconds = time.monotonic() - began
    worker, database = (after - then for after, then in zip(made.cost(), before, strict=True))
    row.sides[OURS] = {
        "cpu_percent": worker / seconds * 100,
        "database_cpu_percent": database / seconds * 100,
        "transactions_per_second": (await made.transactions() - transactions) / seconds,
    }


def _times(values: list[float]) -> Values:
    return {"p50_ms": percentile(values, 50), "p99_ms": percentile(values, 99)}


def _bare() -> Values:
    times: list[float] = []
    for _ in range(30):
        began = time.monotonic()
        subprocess.run(["true"], check=True)
        times.append((time.monotonic() - began) * 1000)
    return _times(times)


async def _sandboxed(folder: Path) -> Values:
    runner = LocalRunner(folder, {})
    times: list[float] = []
    try:
        for number in range(30):
            began = time.monotonic()
            opened = await runner.open(SandboxSpec(f"pm-00000000-0000-4000-8000-{number:012d}-1", memory_mb=128, cpus=1))
            exited = await opened.exec(["true"], on_output=lambda _stream, _data: None)
            await opened.close()
            times.append((time.monotonic() - began) * 1000)
            assert exited.exit_code == 0, exited
    finally:
        await runner.aclose()
    return _times(times)
