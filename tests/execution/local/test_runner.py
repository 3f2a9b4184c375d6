"""What an operator says about a local target, and what it says about itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.conformance.runners.local import Remembered
from tests.conformance.scene import run, spec

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Mount
from pointsman.kit.confinement import landlock, seccomp

_PROBE = """
import asyncio, json, sys
from pathlib import Path
from pointsman.execution.errors import SandboxRefused
from pointsman.execution.ports import SandboxSpec
from pointsman.execution.runners.local.runner import LocalRunner

async def main():
    runner = LocalRunner(Path(sys.argv[1]) / "sandboxes", {})
    health = await runner.probe()
    try:
        await runner.open(SandboxSpec(handle="pm-x-1", memory_mb=64, cpus=1.0))
        refused = None
    except SandboxRefused as problem:
        refused = problem.detail
    print(json.dumps([health.status, health.detail, refused, await runner.list_handles()]))

asyncio.run(main())
"""
_FORBIDDEN = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin --inh-caps=-all --no-new-privs "$@"'


async def test_where_nothing_can_be_kept_apart_the_target_says_how_to_mend_it_and_runs_nothing(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("needs unshare and setpriv of util-linux")
    command = ["unshare", "-r", "sh", "-c", _FORBIDDEN, "sh", sys.executable, "-c", _PROBE, str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said, errors = await process.communicate()
    if process.returncode != 0 and b"unshare failed" in errors:
        pytest.skip("user namespaces are forbidden on this machine altogether")
    status, detail, refused, handles = json.loads(said)
    assert status == "unhealthy"
    assert "user namespaces" in detail
    assert "max_user_namespaces" in detail
    assert "cannot be kept apart" in refused
    assert handles == []


async def test_isolation_that_an_operator_gave_up_is_shown(tmp_path: Path) -> None:
    runner = Remembered(tmp_path / "sandboxes", "none")
    try:
        health = await runner.probe()
        assert (health.status, health.isolation) == ("healthy", "none")
        assert "isolation none" in health.detail
    finally:
        await runner.aclose()


async def test_bubblewrap_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    runner = Remembered(tmp_path / "sandboxes", "bubblewrap")
    health = await runner.probe()
    await runner.aclose()
    assert health.status == "unhealthy"
    assert "apt-get install bubblewrap" in health.detail


async def test_a_folder_of_the_targets_is_seen_as_it_grants(tmp_path: Path) -> None:
    runner = await require_namespaces(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "note").write_text("seen")
    mounts = (Mount(str(shared), "/data"), Mount(str(shared), "/srv/out", writable=True))
    sandbox = await runner.open(spec(mounts=mounts))
    try:
        ran = await run(sandbox, "sh", "-c", "cat /data/note; touch /data/x; echo new > /srv/out/made")
        assert ran.stdout == b"seen"
        assert b"Read-only" in ran.stderr
        assert (shared / "made").read_text() == "new\n"
    finally:
        await sandbox.close()
        await runner.aclose()


@pytest.mark.parametrize("path", ["/", "/usr/x", "data", "/a/../../x", "/proc", "/workspace/x", "/etc"])
async def test_a_folder_cannot_be_mounted_over_the_system(tmp_path: Path, path: str) -> None:
    runner = await require_namespaces(tmp_path)
    with pytest.raises(SandboxRefused):
        await runner.open(spec(mounts=(Mount(str(tmp_path), path),)))
    assert await runner.list_handles() == []
    await runner.aclose()


async def test_a_folder_that_is_not_there_is_the_targets_failure(tmp_path: Path) -> None:
    runner = await require_namespaces(tmp_path)
    with pytest.raises(TargetFailed, match="is not there"):
        await runner.open(spec(mounts=(Mount(str(tmp_path / "missing"), "/data"),)))
    await runner.aclose()


async def test_the_network_that_is_granted_is_the_hosts(tmp_path: Path) -> None:
    runner = await require_namespaces(tmp_path)

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sandbox = await runner.open(spec(network=True))
    try:
        program = f"import socket; print(socket.create_connection(('localhost', {port})).recv(10))"
        assert (await run(sandbox, "python3", "-c", program)).stdout == b"b'hello'\n"
    finally:
        await sandbox.close()
        await runner.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_a_program_that_the_kernel_can_read(machine: str) -> None:
    program = seccomp.build(machine)
    assert len(program) % 8 == 0
    assert 8 * 20 < len(program) < 8 * 4096


def test_landlock_of_no_kernel_is_version_none() -> None:
    assert landlock.version() >= 0


async def require_namespaces(tmp_path: Path) -> Remembered:
    runner = Remembered(tmp_path / "sandboxes", "namespaces")
    health = await runner.probe()
    if health.status != "healthy":
        pytest.skip(health.detail)
    return runner
