"""`kill -9` of a worker or a gateway at every step of a file's way: kept, stored, claimed, read, indexed, failed, deleted, cleared away.

Each failpoint of knowledge is died at COUNT times by a real process that uploads, deletions and waiting files bring past it, while others
live. Then gateways are killed COUNT times amid an upload and workers COUNT times amid whatever they read. Every file must end as it has to:
indexed with each chunk exactly once, failed, or deleted; and once what is due was cleared there is no chunk, object, note or temporary
file of nobody's.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

from tests.faults.deaths import PATIENCE, Deaths, die_at_each
from tests.faults.fleet import Fleet, fleet
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.shelf import Shelf
from tests.faults.stage import Stage

import pointsman.bootstrap.worker as worker_process
from pointsman.kit import failpoints

ENDED = 120.0  # seconds from the last fault to the end of every file
SAMPLE = ("knowledge.index.in", "knowledge.store.in")
_BY_GATEWAYS = ("knowledge.keep", "knowledge.store", "knowledge.delete", "knowledge.clear")
_TOLD = 30  # of what is wrong with files


def names() -> list[str]:
    """Every failpoint of knowledge; with the worker, every module is loaded that declares one."""
    assert worker_process
    return sorted(name for name in failpoints.declared() if name.startswith("knowledge."))


async def perform(stage: Stage) -> Told:
    shelf, deaths, killed = Shelf.on(stage), Deaths(), Counter[str]()
    for _ in range(1 if stage.options.sample else 2):
        await stage.start(**shelf.variables)
    async with fleet(stage, 1, **shelf.variables) as workers:
        points = _points(stage)
        await die_at_each(stage, points, lambda name: _dies(shelf, workers, name), deaths)
        stage.options.say(f"{deaths.at.total()} deaths at failpoints; now amid uploads and reading")
        await _amid(shelf, workers, killed)
        failures = [] if await shelf.ended(ENDED) else [f"files were still to be indexed {ENDED:g} s after the last fault"]
        failures += (await shelf.judge())[:_TOLD]
    return Told(
        figures={
            "files": len(shelf.files),
            **{f"of them {end}": number for end, number in sorted(Counter(filed.end for filed in shelf.files).items())},
            "failpoints": len(set(points)),
            "deaths at failpoints": f"{deaths.at.total()} of {len(points)}",
            **{f"kills amid {what}": number for what, number in sorted(killed.items())},
            "requests whose gateway died": shelf.broken.total(),
        },
        charts={"failpoints": deaths.chart(sorted(set(points)))},
        failures=[*deaths.missed, *failures],
    )


def _points(stage: Stage) -> list[str]:
    points = [*SAMPLE] if stage.options.sample else names() * stage.options.count
    stage.chance.shuffle(points)
    return points


async def _dies(shelf: Shelf, workers: Fleet, name: str) -> bool:
    return await (_gateway_dies if name.startswith(_BY_GATEWAYS) else _worker_dies)(shelf, workers, name)


async def _worker_dies(shelf: Shelf, workers: Fleet, name: str) -> bool:
    """A worker that is armed, beside one that is not: files are sent until it has taken one so far."""
    began = time.time()
    armed = await workers.start(failpoint=f"{name}:kill")
    until = time.monotonic() + PATIENCE
    while armed.is_alive and time.monotonic() < until:
        for _ in range(2):
            await shelf.upload("failed" if name.startswith("knowledge.fail") else "indexed")
        await workers.dies(armed, within=2)
    died = not armed.is_alive
    if not died:
        await workers.kill(armed)
    shelf.stage.record.fault("failpoint", began, detail=f"{name} of {armed.id}")
    return died


async def _gateway_dies(shelf: Shelf, _workers: Fleet, name: str) -> bool:
    """A gateway that is armed is asked for what passes there; whoever lives is asked again."""
    began = time.time()
    armed = await shelf.stage.start(**shelf.variables, POINTSMAN_FAILPOINTS=f'["{name}:kill"]')
    until = time.monotonic() + PATIENCE
    while armed.is_alive and time.monotonic() < until:
        if name.startswith(("knowledge.delete", "knowledge.clear")):
            filed = await shelf.upload()
            await asyncio.sleep(shelf.stage.chance.uniform(0, 1.5))  # it is being read perhaps
            await shelf.delete(filed, to=armed)
        else:
            await shelf.upload(to=armed)
    died = not armed.is_alive
    if not died:
        await shelf.stage.kill(armed)
    shelf.stage.record.fault("failpoint", began, replica=armed.name, detail=name)
    return died


async def _amid(shelf: Shelf, workers: Fleet, killed: Counter[str]) -> None:
    """COUNT kills of a gateway that receives a file, and COUNT of a worker that reads some."""
    stage = shelf.stage
    for _ in range(stage.options.count):
        if stage.time_left < 0:
            return
        victim = await stage.start(**shelf.variables)
        sending = asyncio.create_task(shelf.upload_slowly(victim, seconds=2))
        await asyncio.sleep(stage.chance.uniform(0.2, 1.5))
        await stage.kill(victim)
        await sending
        killed["an upload"] += 1
        reader = await workers.start()
        for _ in range(3):
            await shelf.upload()
        await workers.dies(reader, within=stage.chance.uniform(0, 1))
        await workers.kill(reader)
        killed["reading"] += 1


if __name__ == "__main__":
    options = read_options("indexing", __doc__ or "", count=10, duration=1800, sample=1)
    sys.exit(run(options, perform, title="Files amid kills at every step", required=(), replicas=0))
