"""Bounds that the kernel does not hold: disk, and memory where there is no cgroup."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.conformance.runners.local import Remembered
from tests.conformance.scene import member, packed, python, run, spec

from pointsman.execution.ports import Sandbox
from pointsman.execution.runners.local.measuring import list_descendants, measure_disk
from pointsman.execution.runners.local.watching import Watch


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncGenerator[Sandbox]:
    runner = Remembered(tmp_path / "sandboxes", "namespaces")
    health = await runner.probe()
    if health.status != "healthy":
        pytest.skip(health.detail)
    sandbox = await runner.open(spec(disk_mb=16))
    yield sandbox
    await sandbox.close()
    await runner.aclose()


@pytest.mark.parametrize(
    "program",
    [
        "for n in range(40): open(f'f{n}', 'wb').write(b'x' * 2**20)",
        "import os\nfor n in range(40): f = os.open('f', 65); os.unlink('f'); os.write(f, b'x' * 2**20)",
    ],
    ids=["files", "files without a name"],
)
async def test_a_command_that_takes_more_disk_is_ended_and_told_why(sandbox: Sandbox, program: str) -> None:
    ran = await python(sandbox, f"import time\n{program}\ntime.sleep(30)")
    assert ran.exited is not None
    assert (ran.exited.signal, ran.exited.oom) == ("SIGKILL", None)
    assert b"16 MB allowed" in ran.stderr


async def test_no_file_grows_past_the_bound(sandbox: Sandbox) -> None:
    ran = await run(sandbox, "sh", "-c", "trap '' XFSZ; head -c 40000000 /dev/zero > big; stat -c %s big")
    assert b"File too large" in ran.stderr or (ran.exited and ran.exited.signal)
    assert int(ran.stdout or b"0") <= 16 * 2**20


async def test_what_is_only_said_to_be_large_does_not_count(sandbox: Sandbox) -> None:
    ran = await run(sandbox, "sh", "-c", "truncate -s 10M a b c d; ln a e; sleep 1; echo whole")
    assert ran.stdout == b"whole\n"


async def test_a_workspace_that_is_full_is_told_at_the_next_command(sandbox: Sandbox) -> None:
    await sandbox.upload(packed(*(member(f"f{number}", b"x" * 2**20) for number in range(20))))
    ran = await run(sandbox, "sleep", "30")
    assert b"16 MB allowed" in ran.stderr


def test_hard_links_count_once_and_links_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 2**20)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("/usr")
    use = measure_disk(tmp_path, [], 1000)
    assert 2**20 <= use.size < 2**20 + 20_000
    assert use.entries == 2


async def test_without_a_cgroup_memory_is_watched_and_the_excess_is_proof() -> None:
    program = "import os, time\nif os.fork() == 0: x = b'x' * (120 * 2**20)\ntime.sleep(60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        watch = Watch(Path("/nonexistent"), 1, 64)
        excess = await asyncio.wait_for(watch.wait(lambda: list_descendants(process.pid)), 30)
        assert excess.oom is not None
        assert excess.oom.source == "watchdog"
        assert watch.peak_mb > 64
    finally:
        for pid in reversed(list_descendants(process.pid)):
            if pid != process.pid:
                await (await asyncio.create_subprocess_exec("kill", "-9", str(pid))).wait()
        process.kill()
        await process.wait()
