"""A Docker daemon of the tests' own: its sockets, data and processes are below one temporary folder, and go with it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import aiodocker
from tests.conformance.runners.machine_image import machine_image

IMAGE = "pointsman-machine:latest"
_OPTIONS = ["--iptables=false", "--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs", "--default-ulimit", "nofile=20000:20000"]
_WITHIN = 40.0


@dataclass(frozen=True)
class Dockerd:
    """A running daemon that has the machine's image."""

    host: str
    log: Path


def why_not() -> str | None:
    """Why no daemon can be started here."""
    if os.geteuid() != 0:
        return "dockerd needs root"
    if shutil.which("dockerd") is None:
        return "dockerd is not installed; on Debian: apt-get install docker.io"
    return None


@contextlib.contextmanager
def dockerd() -> Generator[Dockerd]:
    """One daemon. At its end no process, mount or folder of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="pm-docker-"))
    try:
        with _running(folder, "overlay2") as daemon:
            yield daemon
    finally:
        _clear(folder)


@contextlib.contextmanager
def _running(folder: Path, driver: str) -> Generator[Dockerd]:
    process = _start(folder, driver)
    try:
        daemon = Dockerd(f"unix://{folder}/docker.sock", folder / "log")
        if not _answers(folder / "docker.sock", process):
            if driver == "overlay2":
                _end(process)
                with _running(folder, "vfs") as other:
                    yield other
                return
            raise RuntimeError(f"dockerd did not start:\n{daemon.log.read_text()[-3000:]}")
        asyncio.run(_import_image(daemon.host))
        yield daemon
    finally:
        _end(process)


def _start(folder: Path, driver: str) -> subprocess.Popen[bytes]:
    places = ["-H", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/data-{driver}", "--exec-root", f"{folder}/exec"]
    command = ["dockerd", *_OPTIONS, *places, "--pidfile", f"{folder}/pid", "--storage-driver", driver]
    with (folder / "log").open("ab") as log:
        # It ends with whoever started it, also when that is killed.
        return subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _answers(socket: Path, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until and process.poll() is None:
        if socket.exists() and asyncio.run(_pings(f"unix://{socket}")):
            return True
        time.sleep(0.1)
    return False


async def _pings(host: str) -> bool:
    client = aiodocker.Docker(url=host)
    try:
        await client.version()
    except aiodocker.DockerError:
        return False
    finally:
        await client.close()
    return True


async def _import_image(host: str) -> None:
    client = aiodocker.Docker(url=host)
    name, _, tag = IMAGE.partition(":")
    try:
        await client.version()  # negotiates the version that the address holds
        url = f"{client.docker_host}/{client.api_version}/images/create"
        async with client.session.post(
            url, params={"fromSrc": "-", "repo": name, "tag": tag}, data=io.BytesIO(machine_image())
        ) as response:
            assert response.status == 200, await response.text()
            await response.read()
        await client.images.inspect(IMAGE)
    finally:
        await client.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _clear(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder)
