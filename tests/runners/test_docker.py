"""The docker runner on a real daemon: the walls as they are seen from inside, memory with evidence, and a daemon that is not there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiodocker
import pytest
from tests.conformance.runners.docker import docker_runner
from tests.conformance.runners.dockerd import IMAGE, Dockerd

from pointsman.execution.connections import DockerConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Exited, Sandbox, SandboxSpec
from pointsman.execution.runners.docker.runner import DockerRunner

pytestmark = pytest.mark.system

HUNGRY = ["python3", "-c", "held = bytearray(300 * 2**20); print(len(held))"]


@asynccontextmanager
async def sandbox(daemon: Dockerd, *, memory_mb: int = 128, pids: int = 64, handle: str = "pm-job-1") -> AsyncGenerator[Sandbox]:
    runner = docker_runner(daemon)
    opened = await runner.open(SandboxSpec(handle, memory_mb=memory_mb, cpus=1, pids=pids, disk_mb=32))
    try:
        yield opened
    finally:
        await opened.close()
        assert handle not in await runner.list_handles()
        await runner.aclose()


async def said(opened: Sandbox, argv: Sequence[str], *, stdin: bytes = b"") -> tuple[Exited, str]:
    heard = bytearray()
    ended = await opened.exec(argv, on_output=lambda _stream, data: heard.extend(data), stdin=stdin)
    return ended, heard.decode()


async def test_the_walls_are_there_when_looked_at_from_inside(docker_daemon: Dockerd) -> None:
    async with sandbox(docker_daemon) as opened:
        _, status = await said(opened, ["cat", "/proc/self/status"])
        seen = {line.partition(":")[0]: line.partition(":")[2].split() for line in status.splitlines()}
        assert [seen[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [["0" * 16]] * 5
        assert (seen["NoNewPrivs"], seen["Seccomp"], seen["Uid"]) == (["1"], ["2"], ["64123"] * 4)
        _, interfaces = await said(opened, ["cat", "/proc/net/dev"])
        assert [line.split(":")[0].strip() for line in interfaces.splitlines()[2:]] == ["lo"]
        for path in ("/etc/x", "/usr/x", "/sys/fs/cgroup/x", "/proc/sys/kernel/hostname"):
            assert (await said(opened, ["sh", "-c", f"echo x > {path}"]))[0].exit_code != 0, path
        ended, _ = await said(opened, ["dd", "if=/dev/zero", "of=full", "bs=1M", "count=64"])
        assert ended.exit_code == 1  # the workspace is as large as was said


async def test_more_processes_than_allowed_cannot_be_started(docker_daemon: Dockerd) -> None:
    async with sandbox(docker_daemon, pids=24) as opened:
        ended, text = await said(opened, ["sh", "-c", "for i in $(seq 100); do sleep 60 & done; echo all of them"])
        assert (ended.exit_code, "all of them" in text) == (2, False)
        assert (await said(opened, ["true"]))[0].exit_code == 0


async def test_a_job_that_needs_more_memory_is_told_so_by_the_kernel_until_it_has_enough(docker_daemon: Dockerd) -> None:
    for memory_mb in (128, 256):
        async with sandbox(docker_daemon, memory_mb=memory_mb) as opened:
            ended, _ = await said(opened, HUNGRY)
            assert ended.oom is not None
            assert (ended.signal, ended.oom.source, await opened.peak_memory_mb()) == ("SIGKILL", "cgroup.oom_kill", memory_mb)
    async with sandbox(docker_daemon, memory_mb=512) as opened:
        ended, text = await said(opened, HUNGRY)
        assert (ended.exit_code, ended.oom, text) == (0, None, f"{300 * 2**20}\n")
        assert 300 <= (await opened.peak_memory_mb() or 0) < 512


async def test_a_kill_alone_proves_nothing_about_memory(docker_daemon: Dockerd) -> None:
    async with sandbox(docker_daemon) as opened:
        ended, _ = await said(opened, ["sh", "-c", "kill -9 $$"])
        assert (ended.exit_code, ended.signal, ended.oom) == (None, "SIGKILL", None)


async def test_memory_that_ran_out_within_a_command_that_went_well_is_no_failure_of_it_nor_of_the_next(docker_daemon: Dockerd) -> None:
    inner = "import subprocess; subprocess.run(['python3', '-c', 'bytearray(300 * 2**20)'])"
    async with sandbox(docker_daemon) as opened:
        assert (await said(opened, ["python3", "-c", inner]))[0].oom is None
        assert (await said(opened, ["false"]))[0].oom is None
        ended, _ = await said(opened, ["python3", "-c", f"{inner}; raise SystemExit(3)"])
        assert (ended.exit_code, ended.oom is not None) == (3, True)


async def test_a_container_that_is_ended_from_outside_is_the_targets_failure(docker_daemon: Dockerd) -> None:
    async with sandbox(docker_daemon) as opened:
        running = asyncio.create_task(said(opened, ["sleep", "60"]))
        await asyncio.sleep(0.5)
        client = aiodocker.Docker(url=docker_daemon.host)
        await client.containers.container(opened.container_id or "").kill()
        await client.close()
        with pytest.raises(TargetFailed, match="ended while a command ran"):
            await running
        with pytest.raises(TargetFailed):
            await opened.exec(["true"], on_output=lambda *_: None)


async def test_a_fork_bomb_that_ignores_signals_ends_with_its_cancellation(docker_daemon: Dockerd) -> None:
    async with sandbox(docker_daemon) as opened:
        bomb = "trap '' TERM INT HUP; b() { b | b & }; b; setsid sleep 61 & sleep 62"
        running = asyncio.create_task(said(opened, ["bash", "-c", bomb]))
        await asyncio.sleep(1)
        cancelled = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert time.monotonic() - cancelled < 2
        _, text = await said(opened, ["ps", "-e", "-o", "user,comm"])
        assert [line.split()[1] for line in text.splitlines() if line.startswith("64123")] == ["sh", "ps"]


async def test_a_probe_says_what_is_there_and_leaves_nothing(docker_daemon: Dockerd) -> None:
    runner = docker_runner(docker_daemon)
    health = await runner.probe()
    assert (health.status, health.isolation, await runner.list_handles()) == ("healthy", "container", [])
    assert "starts pointsman-machine" in health.detail
    client = aiodocker.Docker(url=docker_daemon.host)
    assert await client.containers.list(all=1) == []
    await client.close()
    await runner.aclose()


async def test_an_image_that_is_not_there_is_named_with_what_to_do(docker_daemon: Dockerd) -> None:
    runner = DockerRunner(DockerConnection(image="nothere:1", host=docker_daemon.host), {})
    health = await runner.probe()
    assert health.status == "unhealthy"
    assert "no image 'nothere:1'. Run `docker pull nothere:1` there" in health.detail
    await runner.aclose()


async def test_a_daemon_that_is_not_there_is_unhealthy_and_says_where_it_was_looked_for(tmp_path: Path) -> None:
    runner = DockerRunner(DockerConnection(image=IMAGE, host=f"unix://{tmp_path}/none.sock"), {})
    health = await runner.probe()
    assert (health.status, f"no daemon answers at unix://{tmp_path}/none.sock" in health.detail) == ("unhealthy", True)
    with pytest.raises(TargetFailed) as failed:
        await runner.list_handles()
    assert "Is dockerd running" in failed.value.hint
    await runner.aclose()


async def test_the_negotiated_version_is_the_daemons(docker_daemon: Dockerd) -> None:
    client = aiodocker.Docker(url=docker_daemon.host)
    offered = (await client.version())["ApiVersion"]
    await client.close()
    runner = docker_runner(docker_daemon)
    assert f"(API {offered})" in (await runner.probe()).detail
    await runner.aclose()
