"""The docker runner for the suite, on a real daemon of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.runners.dockerd import IMAGE, Dockerd, dockerd, why_not

from pointsman.execution.connections import DockerConnection
from pointsman.execution.runners.docker.runner import DockerRunner


@pytest.fixture(scope="session")
def daemon() -> Iterator[Dockerd]:
    """One for all tests of a process; ended, with all that it left, by the end of them."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd() as running:
        yield running


def docker_runner(daemon: Dockerd) -> DockerRunner:
    """A runner on this daemon."""
    return DockerRunner(DockerConnection(image=IMAGE, host=daemon.host), {})
