"""What is left when a worker, its spawner or a launcher is killed: nothing that runs, and nothing that others cannot remove."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest
from tests.conformance.runners.local import Remembered, processes_that_see
from tests.conformance.scene import PYTHON, python, run, spec
from tests.execution.local import worker_process
from tests.execution.local.worker_process import STUBBORN

from pointsman.execution.errors import TargetFailed

ISOLATIONS = ["namespaces", pytest.param("bubblewrap", marks=pytest.mark.system)]


@pytest.fixture(params=ISOLATIONS)
async def isolation(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed; on Debian: apt-get install bubblewrap")
    runner = Remembered(tmp_path / "tried", request.param)
    health = await runner.probe()
    await runner.aclose()
    if health.status != "healthy":
        pytest.skip(health.detail)
    return request.param


async def test_everything_dies_with_a_worker_and_others_clear_up(isolation: str, tmp_path: Path) -> None:
    root, handle = tmp_path / "sandboxes", f"pm-{uuid4()}-1"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, worker_process.__file__, str(root), isolation, handle]
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    assert worker.stdout is not None
    other = Remembered(root, isolation)
    other.opened.append(handle)
    try:
        assert (await asyncio.wait_for(worker.stdout.readline(), 60)).strip() == b"ready"
        assert len(processes_that_see(root)) >= 3
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        await none_left(root)
        assert await other.list_handles() == [handle]
        await other.reap(handle)
        assert other.leftovers() == []
        assert await other.list_handles() == []
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
        await other.aclose()


async def test_a_command_whose_spawner_is_killed_is_the_targets_failure_and_the_next_one_works(isolation: str, tmp_path: Path) -> None:
    runner = Remembered(tmp_path / "sandboxes", isolation)
    sandbox = await runner.open(spec())
    try:
        for victim in ("spawner", "launcher"):
            ready = asyncio.Event()
            running = asyncio.create_task(sandbox.exec([PYTHON, "-c", STUBBORN], on_output=lambda _stream, _data, heard=ready: heard.set()))
            await asyncio.wait_for(ready.wait(), 60)
            os.kill(next(pid for pid, name in ours().items() if name == victim), signal.SIGKILL)
            with pytest.raises(TargetFailed):
                await asyncio.wait_for(running, 30)
            await none_left(tmp_path / "sandboxes")
            assert (await run(sandbox, "echo", "on")).stdout == b"on\n"
    finally:
        await sandbox.close()
        await runner.aclose()


async def test_a_command_that_is_cancelled_at_any_moment_leaves_nothing(isolation: str, tmp_path: Path) -> None:
    runner = Remembered(tmp_path / "sandboxes", isolation)
    sandbox = await runner.open(spec())
    await run(sandbox, "true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        for step in range(40):
            running = asyncio.create_task(run(sandbox, "sleep", "60"))
            for _ in range(step):
                await asyncio.sleep(0)
            await asyncio.sleep(step % 8 * 0.004)
            running.cancel()
            await asyncio.wait({running})
        await none_left(tmp_path / "sandboxes")
        await asyncio.sleep(0.05)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
    finally:
        await sandbox.close()
        await runner.aclose()


async def test_a_sandbox_that_was_closed_while_its_worker_opened_others_harms_none(isolation: str, tmp_path: Path) -> None:
    runner = Remembered(tmp_path / "sandboxes", isolation)
    first, second = await runner.open(spec()), await runner.open(spec())
    try:
        running = asyncio.create_task(python(second, "import time; time.sleep(0.5); print('whole')"))
        await first.close()
        assert (await running).stdout == b"whole\n"
    finally:
        await second.close()
        await runner.aclose()


def ours() -> dict[int, str]:
    """The spawner of this process, and the launchers below it."""
    spawners = [pid for pid in children(os.getpid()) if b"confinement.spawner" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return {**dict.fromkeys(spawners, "spawner"), **{pid: "launcher" for spawner in spawners for pid in children(spawner)}}


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


async def none_left(root: Path) -> None:
    """Within two seconds no process sees anything below the folder."""
    until = time.monotonic() + 2
    while left := processes_that_see(root):
        assert time.monotonic() < until, left
        await asyncio.sleep(0.02)
