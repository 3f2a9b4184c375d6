"""A tenant that asks as much as it can, and what another one beside it feels of that.

The quiet tenant asks at a steady pace, for answers that a model takes 100 ms to begin. The noisy one has a hundred connections, each of
which sends its next request as soon as it has an answer, from a load generator in a process of its own. Phases with and without the noise
alternate, so that what else happens on the machine meets both; the 99th percentiles of the quiet tenant's answers are compared.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from benchmarks.driver import start_driver
from benchmarks.jobs import Job
from tests.faults import charts
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage

NOISY_CONNECTIONS = 100
PACE = 0.05  # seconds between two requests of the quiet tenant
MOST = 1.2  # times the percentile without noise
_ENDLESS = 10_000_000


@dataclass
class Phases:
    """What the quiet tenant saw, in milliseconds, and how much the noisy one got done."""

    alone: list[float] = field(default_factory=list[float])
    beside: list[float] = field(default_factory=list[float])
    noise: int = 0
    failures: list[str] = field(default_factory=list[str])


async def perform(stage: Stage) -> Told:
    quiet_agent = await stage.agent()
    loud_agent = await stage.agent(model="scripted:echo")
    for tenant in ("quiet", "noisy"):
        await stage.make_key(tenant, owner_id=tenant, scopes=("agents:run", "runs:read"))
    phases = Phases()
    await _quiet(stage, quiet_agent, "warm", 40, [])
    rounds = max(1, stage.options.count)
    for number in range(rounds):
        await _quiet(stage, quiet_agent, f"alone {number}", 200, phases.alone)
        async with _noise(stage, loud_agent, phases):
            await asyncio.sleep(1)  # until it is known how busy the noisy one is
            await _quiet(stage, quiet_agent, f"beside {number}", 200, phases.beside)
        await asyncio.sleep(0.5)
        stage.options.say(f"round {number + 1}: p99 {_p(phases.alone, 0.99):.0f} ms alone, {_p(phases.beside, 0.99):.0f} ms beside")
    return _told(stage, phases)


async def _quiet(stage: Stage, agent: str, name: str, calls: int, latencies: list[float]) -> None:
    client = stage.client("quiet", key="quiet")

    async def one(number: int) -> None:
        began = time.perf_counter()
        call = await client.chat(agent, f"{name} {number} [[n=5 ttft=100]]", expected="tok0 tok1 tok2 tok3 tok4 ")
        if call.status == 200:
            latencies.append((time.perf_counter() - began) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(one(number))
            await asyncio.sleep(PACE)


@asynccontextmanager
async def _noise(stage: Stage, agent: str, phases: Phases) -> AsyncGenerator[None]:
    address = urlsplit(stage.alive()[0].url)
    body = msgspec.json.encode({"message": "noise"})
    head = (
        f"POST /v2/agents/{agent}/chat HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {stage.secrets['key noisy']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    assert address.port is not None
    job = Job([address.port], [head + body.decode()], _ENDLESS, NOISY_CONNECTIONS, expect="noise")
    with start_driver() as driver:
        driver.start(job)
        try:
            yield
        finally:
            outcome = await asyncio.to_thread(driver.stop)
            phases.noise += len(outcome.latencies)


def _told(stage: Stage, phases: Phases) -> Told:
    alone, beside = _p(phases.alone, 0.99), _p(phases.beside, 0.99)
    told = Told(
        figures={
            "answers of the quiet tenant": len(phases.alone) + len(phases.beside),
            "answers of the noisy tenant": phases.noise,
            "p50 alone, ms": _p(phases.alone, 0.5),
            "p50 beside the noisy one, ms": _p(phases.beside, 0.5),
            "p99 alone, ms": alone,
            "p99 beside the noisy one, ms": beside,
            "ratio of the p99": beside / alone,
        },
        charts={"quiet": charts.histogram("The quiet tenant beside the noisy one", phases.beside, x="ms to the answer", y="answers")},
    )
    # A sample is too small for a percentile, and shares its machine with other tests.
    if not stage.options.sample and beside / alone > MOST:
        told.failures.append(f"the noisy tenant cost the other {beside / alone:.2f} times its p99, {MOST} is the most")
    return told


def _p(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("neighbour", __doc__ or "", count=5, duration=300, sample=1),
            perform,
            title="A quiet tenant beside a noisy one",
            required=("G1", "G5", "G10"),
            replicas=1,
        )
    )
