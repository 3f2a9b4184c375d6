"""An engine's remote side is dead for twenty seconds, with a hundred jobs for it on three workers: nobody wears it down, none is lost.

The endpoint answers 503 while it is dead, and notes each request. When its breaker has opened, one request may reach it at most in each
time that the breaker is left open for; the jobs that meet the breaker end as `failed_circuit_open`, and are retried by the program when
they say so, as an operator's script would. In the end each job is completed, by one request that was answered. COUNT is the number of jobs.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from aiohttp import web
from tests.faults import charts
from tests.faults.fleet import fleet
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage

WORKERS = 3
DEAD, DEAD_IN_SAMPLE = 20.0, 5.0  # seconds
COOL_DOWN = 1.5  # seconds
VARIABLES = {
    "POINTSMAN_BREAKERS__COOL_DOWN": str(COOL_DOWN),
    "POINTSMAN_BREAKERS__LONGEST": "4",
    "POINTSMAN_SECRETS__SIGNING": "a secret that signs requests to the endpoint",
}
_IN_FLIGHT = 1.0  # seconds in which what was under way when the breaker opened may still arrive


@dataclass
class Endpoint:
    """The engine's remote side: when it was asked, and which jobs it has done."""

    is_dead: bool = True
    refused: list[float] = field(default_factory=list[float])
    done: Counter[str] = field(default_factory=Counter[str])

    async def answer(self, request: web.Request) -> web.Response:
        told = await request.json()
        if self.is_dead:
            self.refused.append(time.time())
            return web.Response(status=503)
        self.done[told["job_id"]] += 1
        return web.json_response({"status": "completed", "output": f"done: {told['prompt']}"})


async def perform(stage: Stage) -> Told:
    dead = DEAD_IN_SAMPLE if stage.options.sample else DEAD
    async with _served() as (endpoint, url), fleet(stage, WORKERS, **VARIABLES):
        handler = {"endpoint": {"url": url, "secret": {"secret": "signing"}}}
        await stage.ask("POST", "/v2/engines", {"id": "remote", "name": "remote", "type": "custom", "handler_config": handler})
        jobs = [(await stage.ask("POST", "/v2/jobs", _job(number)))["id"] for number in range(stage.options.count)]
        retries = 0
        alive_at = time.monotonic() + dead
        while time.monotonic() < alive_at:
            retries += await _retry_due(stage)
            await asyncio.sleep(0.2)
        opened_at = await _opened_at(stage)
        endpoint.is_dead = False
        stage.options.say(f"alive again after {len(endpoint.refused)} refusals and {retries} retries")
        while not await _all_completed(stage) and stage.time_left > 0:
            retries += await _retry_due(stage)
            await asyncio.sleep(0.2)
        statuses = Counter(job["status"] for job in await _jobs(stage))
    failures = [f"jobs are {dict(statuses)}, not all completed"] if statuses != {"completed": len(jobs)} else []
    failures += [f"{count} answers were given for job {job}" for job, count in endpoint.done.items() if count != 1]
    failures += [f"job {job} was never done by the endpoint" for job in jobs if job not in endpoint.done]
    failures += _worn_down(endpoint.refused, opened_at)
    began = endpoint.refused[0] if endpoint.refused else time.time()
    return Told(
        figures={
            "jobs": len(jobs),
            "seconds that the endpoint was dead": dead,
            "requests that reached it meanwhile": len(endpoint.refused),
            "of these after its breaker had opened": sum(at > opened_at + _IN_FLIGHT for at in endpoint.refused),
            "retries by the program": retries,
            "completed": statuses["completed"],
        },
        charts={
            "requests": charts.histogram("Requests to a dead endpoint", [at - began for at in endpoint.refused], x="seconds", y="requests")
        },
        failures=failures,
    )


def _job(number: int) -> dict[str, Any]:
    return {"prompt": f"job {number}", "engine": "remote", "job_spec": {"max_attempts": 20}}


async def _jobs(stage: Stage, status: str = "") -> list[dict[str, Any]]:
    found, cursor = [], ""
    while cursor is not None:
        page = await stage.ask("GET", f"/v2/jobs?limit=100{status and f'&status={status}'}{cursor and f'&cursor={cursor}'}")
        found += page["items"]
        cursor = page["next_cursor"]
    return found


async def _all_completed(stage: Stage) -> bool:
    return len(await _jobs(stage, "completed")) == stage.options.count


async def _retry_due(stage: Stage) -> int:
    """Retry the jobs whose time has come; how many there were."""
    now = dt.datetime.now(dt.UTC)
    due = [job for job in await _jobs(stage, "failed_circuit_open") if dt.datetime.fromisoformat(job["retry_at"]) <= now]
    for job in due:
        await stage.ask("POST", f"/v2/jobs/{job['id']}/retry")
    return len(due)


async def _opened_at(stage: Stage) -> float:
    breakers = (await stage.ask("GET", "/v2/breakers"))["items"]
    opened = [
        dt.datetime.fromisoformat(one["opened_at"]).timestamp() for one in breakers if one["id"] == "engine:remote" and one["opened_at"]
    ]
    return opened[0] if opened else float("inf")


def _worn_down(refused: list[float], opened_at: float) -> list[str]:
    """More than one request within the time that the breaker is open for at least."""
    if opened_at == float("inf"):
        return ["the breaker did not open"]
    probes = [at for at in sorted(refused) if at > opened_at + _IN_FLIGHT]
    if not probes:
        return ["nobody looked whether the endpoint was alive again"]
    return [f"two requests within {later - earlier:.2f} s" for earlier, later in pairwise(probes) if later - earlier < COOL_DOWN * 0.95]


@asynccontextmanager
async def _served() -> AsyncGenerator[tuple[Endpoint, str]]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/work", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield endpoint, f"http://127.0.0.1:{port}/work"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("breaker", __doc__ or "", count=100, duration=120, sample=20),
            perform,
            title="A dead endpoint, its breaker, and the jobs that meet it",
            required=(),
            replicas=1,
            variables=VARIABLES,
        )
    )
