"""Real workers, killed at each transition of a supervised run: whoever is next brings it to its one end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.supervision.supervision_scene import Supervision, fix

from pointsman.execution.defaults import make_defaults

ANSWER = {"text": " ".join(["word"] * 30), "delay_ms": 10}
WITHIN = 60.0

pytestmark = pytest.mark.timeout(180)
StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start_worker(dsn: str, tmp_path: Path) -> Generator[StartWorker]:
    """Starts `pointsman worker`, which is to fail at the named places; all are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*failpoints: str) -> subprocess.Popen[bytes]:
        named = ", ".join(f'"{point}"' for point in failpoints)
        environment = {
            **os.environ,
            "POINTSMAN_DATABASE__URL": dsn,
            "POINTSMAN_DATA_DIR": str(tmp_path / "data"),
            "POINTSMAN_FAILPOINTS": f"[{named}]",
        }
        command = [sys.executable, "-m", "pointsman", "worker"]
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


async def died(process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(WITHIN):
        while process.poll() is None:
            await asyncio.sleep(0.05)


async def ended(scene: Supervision, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN):
        while (run := await scene.run(run_id))["status"] in {"pending", "running"}:
            await asyncio.sleep(0.05)
    return run


async def hire(scene: Supervision, *commands: list[str]) -> None:
    """A team whose one job runs these commands; without any no sandbox is opened."""
    await make_defaults(scene.db)
    await scene.team(fix(jobs=[{"objective": "Do it.", "commands": list(commands)}]) | {"delay_ms": 20}, ANSWER)


async def assert_whole(scene: Supervision, run_id: str, run: dict[str, Any], *, calls: int) -> None:
    """One end, one job, and every call of the model counted."""
    assert run["status"] == "completed", run["error"]
    assert run["result"]["content"] == ANSWER["text"]
    names = await scene.names(run_id)
    assert sum(name.startswith("run.") for name in names) == 2
    assert names.count("job.queued") >= 1
    jobs = await scene.owner.fetch("SELECT status FROM execution_jobs")
    assert [job["status"] for job in jobs] == ["completed"]
    usage = await scene.usage(run_id)
    assert 2 <= len([row for row in usage if not row[3]]) <= calls
    after = names[len(names) - 1 - names[::-1].index("message.reset") :] if "message.reset" in names else names
    told = await scene.events(run_id)
    text = "".join(data["text"] for name, data in told[len(told) - len(after) :] if name == "message.delta")
    assert text == run["result"]["content"]


@pytest.mark.parametrize(
    "point",
    [
        "supervision.ask.after:kill@1",
        "supervision.classify.after:kill@1",
        "jobs.finish.in:kill@1",
        "supervision.claim.after:kill@2",
        "supervision.say.after:kill@1",
        "supervision.end.after:kill@1",
    ],
)
async def test_a_worker_is_killed_at_a_transition(scene: Supervision, start_worker: StartWorker, point: str) -> None:
    await hire(scene)
    run_id = (await scene.ask()).run_id
    victim = start_worker(point)
    await died(victim)
    start_worker()
    await assert_whole(scene, run_id, await ended(scene, run_id), calls=3)


async def test_a_worker_is_killed_amid_the_job(scene: Supervision, start_worker: StartWorker) -> None:
    await hire(scene, ["sleep", "2"])
    run_id = (await scene.ask()).run_id
    victim = start_worker()
    async with asyncio.timeout(WITHIN):
        while "job.started" not in await scene.names(run_id):
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    victim.kill()
    start_worker()
    run = await ended(scene, run_id)
    if (status := await scene.owner.fetchval("SELECT status FROM execution_jobs")) != "completed":
        reason = await scene.owner.fetchval("SELECT last_failure_reason FROM execution_jobs")
        pytest.skip(f"no sandbox can be had here: {status}: {reason}")
    await assert_whole(scene, run_id, run, calls=2)
    attempts = await scene.owner.fetch("SELECT status FROM job_attempts ORDER BY epoch")
    assert [row["status"] for row in attempts] == ["lost", "completed"]


async def test_a_worker_that_is_asked_to_stop_hands_the_run_over(scene: Supervision, start_worker: StartWorker) -> None:
    await make_defaults(scene.db)
    await scene.team(fix(jobs=[{"objective": "Do it."}]), {"text": " ".join(["word"] * 300), "delay_ms": 100})
    run_id = (await scene.ask()).run_id
    first = start_worker()
    async with asyncio.timeout(WITHIN):
        while "message.delta" not in await scene.names(run_id):
            await asyncio.sleep(0.05)
    first.terminate()
    await died(first)
    assert (await scene.story(run_id))["worker"] is None
    second = start_worker()
    async with asyncio.timeout(WITHIN):
        while "message.reset" not in await scene.names(run_id):
            await asyncio.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        second.kill()
    assert (await scene.run(run_id))["status"] == "running"
