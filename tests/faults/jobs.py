"""`kill -9` of a worker, a gateway or PostgreSQL at every transition of a job's life, and at random amid many of them.

Each failpoint of jobs is died at COUNT times, by a worker or a gateway that real jobs bring past it, while others live; then workers,
gateways and the database are killed at random moments, COUNT times each, amid a stream of jobs. Every job must come to exactly one end, and
the right one, within 30 s of the last fault that hit it, beyond its own work; no effect twice in one attempt; and in the end there is no
process, container, folder or message left. `--on docker` has the jobs run in containers of a real daemon.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from tests.conformance.runners.dockerd import IMAGE, dockerd
from tests.faults.deaths import PATIENCE, Deaths, die_at_each
from tests.faults.fleet import Fleet, WorkerProcess, fleet
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Replica, Stage
from tests.faults.work import Work, judge, leftovers

import pointsman.bootstrap.worker as worker_process
from pointsman.kit import failpoints

CROWD = 8  # jobs at most that wait for one another
HEALTHY = 2  # workers that are not armed
_TOLD = 30  # of what is wrong with jobs
SAMPLE = ("jobs.claim.in", "jobs.finish.after")
_BY_GATEWAYS = ("jobs.create", "jobs.cancel", "jobs.retry_asked", "jobs.decided")
_ASKED = {"permissions": {"ask": ["*"]}}
_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZha2VmYWtlZmFrZWZha2VmYWtlZmFrZWZha2VmYWtlZmFr"


def names() -> list[str]:
    """Every failpoint of jobs; with the worker, every module is loaded that declares one."""
    assert worker_process
    return sorted(name for name in failpoints.declared() if name.startswith("jobs."))


async def perform(stage: Stage) -> Told:
    effects = stage.folder / "effects"
    effects.mkdir()
    effects.chmod(0o777)  # the accounts of sandboxes write there
    work, deaths, killed = Work(stage, effects), Deaths(), Counter[str]()
    async with (
        _targets(stage, work),
        fleet(stage, 1 if stage.options.sample else HEALTHY, POINTSMAN_SECRETS__NOBODY="of-no-use") as workers,
    ):
        deciding = asyncio.create_task(_approve_all(work))
        try:
            points = _points(stage)
            await die_at_each(stage, points, lambda name: _dies(work, workers, name), deaths)
            stage.options.say(f"{deaths.at.total()} deaths at failpoints; now at random")
            await _at_random(work, workers, killed)
            done = await work.ended(work.jobs.values(), within=60)
        finally:
            deciding.cancel()
            await asyncio.gather(deciding, return_exceptions=True)
        failures = [] if done else ["jobs were still under way 60 s after the last fault"]
        failures += (await judge(work, workers.deaths()))[:_TOLD]
        failures += await _gone(work)
    return Told(
        figures={
            "jobs": len(work.jobs),
            "failpoints": len(set(points)),
            "deaths at failpoints": f"{deaths.at.total()} of {len(points)}",
            **{f"random kills of {what}": number for what, number in sorted(killed.items())},
        },
        charts={"failpoints": deaths.chart(sorted(set(points)))},
        failures=[*deaths.missed, *failures],
    )


def _points(stage: Stage) -> list[str]:
    points = [*SAMPLE] if stage.options.sample else names() * stage.options.count
    stage.chance.shuffle(points)
    return points


@asynccontextmanager
async def _targets(stage: Stage, work: Work) -> AsyncGenerator[None]:
    """`work` with room for all, and `narrow` with room for one."""
    mounts = {"mounts": [{"source": str(work.effects), "path": "/effects", "writable": True}]}
    if stage.options.on == "docker":
        with ExitStack() as stack:
            daemon = await asyncio.to_thread(stack.enter_context, dockerd())
            await _make_targets(stage, "docker", {**mounts, "image": IMAGE, "host": daemon.host})
            yield
            await asyncio.to_thread(stack.close)
    else:
        await _make_targets(stage, "local", mounts)
        yield


async def _make_targets(stage: Stage, kind: str, connection: dict[str, Any]) -> None:
    for name, slots in (("work", 1000), ("narrow", 1)):
        capacity = {"max_concurrent_jobs": slots, "memory_mb": 512, "cpus": 1}
        target = {"id": name, "name": name, "type": kind, "connection_config": connection, "capacity": capacity}
        await stage.ask("POST", "/v2/targets", target)


async def _dies(work: Work, workers: Fleet, name: str) -> bool:
    spec = f"{name}:kill@{1 if work.stage.options.sample else work.stage.chance.randint(1, 2)}"
    return await (_gateway_dies if name.startswith(_BY_GATEWAYS) else _worker_dies)(work, workers, name, spec)


async def _worker_dies(work: Work, workers: Fleet, name: str, spec: str) -> bool:
    armed = await workers.start(failpoint=spec)
    began = time.time()
    until = time.monotonic() + PATIENCE
    while armed.is_alive and time.monotonic() < until:
        await _bring_past(work, name)
        await workers.dies(armed, within=1.5)
    died = not armed.is_alive
    if not died:
        await workers.kill(armed)
    work.stage.record.fault("failpoint", began, detail=f"{spec} of {armed.id}")
    return died


async def _gateway_dies(work: Work, _workers: Fleet, name: str, spec: str) -> bool:
    armed = await work.stage.start(POINTSMAN_FAILPOINTS=f'["{spec}"]')
    began = time.time()
    until = time.monotonic() + PATIENCE
    while armed.is_alive and time.monotonic() < until:
        if name.startswith("jobs.cancel"):
            await _cancel_one(work, armed)
        elif name.startswith("jobs.retry_asked"):
            await _retry_one(work, armed)
        elif name.startswith("jobs.decided"):
            await _decide_one(work, armed)
        else:
            await work.submit(work.effect(0.1), work=1, target="work", to=armed)
    died = not armed.is_alive
    if not died:
        await work.stage.kill(armed)
    work.stage.record.fault("failpoint", began, replica=armed.name, detail=spec)
    return died


async def _bring_past(work: Work, name: str) -> None:
    """Jobs that pass this transition, on whichever worker takes them."""
    if name.startswith("jobs.retry"):
        broken = await _broken_target(work)
        for _ in range(2):
            await work.submit(["true"], work=1, ends=("failed", "failed_circuit_open"), waits=5, target=broken, spec={"max_attempts": 2})
    elif name.startswith(("jobs.wake", "jobs.park")):
        await _crowd(work)
    elif name.startswith("jobs.pause"):
        for _ in range(2):
            await work.submit(work.effect(0.1), work=1, waits=10, target="work", worker_config=_ASKED)
    else:
        for _ in range(3):
            await work.submit(work.effect(0.3), work=1, target="work")


async def _crowd(work: Work) -> None:
    """Jobs that wait for one another on a target with room for one; no more of them than its pace allows, which differs by its kind."""
    for _ in range(3):
        if await work.left(on="narrow") < CROWD:
            await work.submit(work.effect(0.1), work=1, waits=60, target="narrow")


async def _broken_target(work: Work) -> str:
    """A target that nobody reaches, a new one each time: when one has failed often enough, the breaker lets nothing be tried again."""
    name = f"broken-{work.stage.chance.getrandbits(32):08x}"
    nobody = {"host": "127.0.0.1", "port": 1, "user": "nobody", "host_key": _HOST_KEY, "private_key": {"secret": "nobody"}}
    await work.stage.ask("POST", "/v2/targets", {"id": name, "name": name, "type": "ssh", "connection_config": nobody})
    return name


async def _cancel_one(work: Work, armed: Replica) -> None:
    """A job that waits behind another one is cancelled: perhaps it has ended by then."""
    await work.submit(work.effect(0.5), work=1, waits=60, target="narrow")
    job = await work.submit(work.effect(0.1), work=1, ends=("failed", "completed"), waits=60, target="narrow")
    answer = await work.call("POST", f"/v2/jobs/{job.id}/cancel", {}, to=armed)
    while answer is None or answer.status_code == 503:
        await asyncio.sleep(0.1)
        answer = await work.call("POST", f"/v2/jobs/{job.id}/cancel", {})


async def _retry_one(work: Work, armed: Replica) -> None:
    """A job that has failed is tried again, which it may be twice when nobody heard that it was."""
    job = await work.submit(["false"], work=1, ends=("failed",), waits=60, target="work", tried_again=True)
    if await work.ended([job], within=30):
        answer = await work.call("POST", f"/v2/jobs/{job.id}/retry", {}, to=armed)
        while answer is None or answer.status_code == 503:
            await asyncio.sleep(0.1)
            answer = await work.call("POST", f"/v2/jobs/{job.id}/retry", {})


async def _decide_one(work: Work, armed: Replica) -> None:
    """A job that waits for a person goes on."""
    await work.submit(work.effect(0.1), work=1, waits=60, target="work", worker_config=_ASKED)
    until = time.monotonic() + 5
    while armed.is_alive and time.monotonic() < until:
        await _approve(work, to=armed)
        await asyncio.sleep(0.1)


# --- at random


async def _at_random(work: Work, workers: Fleet, killed: Counter[str]) -> None:
    """So many kills of each, in any order, amid a stream of jobs; each once what the last one hit has recovered, or not."""
    stage = work.stage
    kills: dict[str, Callable[[Work, Fleet], Coroutine[Any, Any, None]]] = {
        "a worker": _kill_worker,
        "a gateway": _kill_gateway,
        "PostgreSQL": _kill_database,
    }
    order = ["a worker", "PostgreSQL"] if stage.options.sample else list(kills) * stage.options.count
    stage.chance.shuffle(order)
    stop = asyncio.Event()
    streaming = asyncio.create_task(_stream(work, stop))
    for what in order:
        if stage.time_left < 0:
            break
        await asyncio.sleep(stage.chance.uniform(0.3, 2.0))
        await kills[what](work, workers)
        killed[what] += 1
    stop.set()
    await streaming


async def _stream(work: Work, stop: asyncio.Event) -> None:
    chance = work.stage.chance
    while not stop.is_set():
        seconds = chance.uniform(0.05, 1.0)
        target = chance.choice(["work", "work", "work", "narrow"])
        if target == "narrow" and await work.left(on=target) >= CROWD:
            target = "work"
        await work.submit(work.effect(seconds), work=seconds + 1, waits=120 if target == "narrow" else 0, target=target)
        await asyncio.sleep(chance.uniform(0.1, 0.5))


async def _kill_worker(work: Work, workers: Fleet) -> None:
    victim: WorkerProcess = work.stage.chance.choice(workers.alive())
    await workers.kill(victim)
    await workers.start()


async def _kill_gateway(work: Work, _workers: Fleet) -> None:
    await work.stage.kill(work.stage.any_replica())
    work.outages.append(time.time())
    await work.stage.start()


async def _kill_database(work: Work, _workers: Fleet) -> None:
    await work.stage.kill_database(work.stage.chance.uniform(0.2, 2.0))
    work.outages.append(time.time())


# --- around


async def _approve_all(work: Work) -> None:
    """Somebody who approves whatever there is to be approved."""
    while True:
        await asyncio.sleep(1)
        await _approve(work)


async def _approve(work: Work, to: Replica | None = None) -> None:
    """Approve what waits for it now."""
    answer = await work.call("GET", "/v2/approvals?status=pending&limit=100")
    if answer is not None and answer.status_code == 200:
        for approval in answer.json()["items"]:
            await work.call("POST", f"/v2/approvals/{approval['id']}/approve", {}, to=to)


async def _gone(work: Work) -> list[str]:
    """What is left of jobs a little after their end; the reaper of a worker that lives has had its time for it."""
    deadline = time.monotonic() + 75
    while (found := await leftovers(work, ("work", "narrow"))) and time.monotonic() < deadline:
        await asyncio.sleep(2)
    return found


if __name__ == "__main__":
    options = read_options("jobs", __doc__ or "", count=5, duration=1800, sample=1, on=("local", "docker"))
    sys.exit(run(options, perform, title="Jobs amid kills at every transition", required=(), replicas=1 if options.sample else 2))
