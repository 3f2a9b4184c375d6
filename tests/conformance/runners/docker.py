"""The docker runner for the suite, on a real daemon of the tests' own."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.runners.dockerd import IMAGE, Dockerd, dockerd, why_not
from tests.conformance.scene import Kind, Scene

from pointsman.execution.connections import DockerConnection
from pointsman.execution.runners.docker.runner import DockerRunner


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[Dockerd]:
    """One for all tests of a process; ended, with all that it left, by the end of them."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd() as running:
        yield running


def docker_runner(daemon: Dockerd) -> DockerRunner:
    """A runner on this daemon."""
    return DockerRunner(DockerConnection(image=IMAGE, host=daemon.host), {})


@asynccontextmanager
async def _open(daemon: Dockerd, _folder: Path) -> AsyncGenerator[Scene]:
    runner, other = docker_runner(daemon), docker_runner(daemon)
    try:
        yield Scene(runner, other, lambda: leftovers(daemon), own_variables=frozenset({"SANDBOX_ID"}))
    finally:
        await runner.aclose()
        await other.aclose()


KINDS = {"docker": Kind(lambda request: request.getfixturevalue("docker_daemon"), _open, system=True)}


def leftovers(daemon: Dockerd) -> list[str]:
    """Every container and every volume that there is."""
    containers, volumes = (_asked(daemon, path) for path in ("/containers/json?all=1", "/volumes"))
    return [*(container["Id"] for container in containers), *(volume["Name"] for volume in volumes["Volumes"] or [])]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _asked(daemon: Dockerd, path: str) -> Any:
    connection = _UnixConnection(daemon.host.removeprefix("unix://"))
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
