"""Each test of the suite runs on every kind of target that this machine has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.runners import docker, kubernetes, local, remote_service, ssh
from tests.conformance.scene import Kind, Scene

# Fixtures that last as long as the tests.
docker_daemon, ssh_server, runner_gateway = docker.docker_daemon, ssh.ssh_server, remote_service.runner_gateway
fake_cluster = kubernetes.fake_cluster
KINDS: dict[str, Kind] = {**local.KINDS, **docker.KINDS, **kubernetes.KINDS, **ssh.KINDS, **remote_service.KINDS}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.system if KINDS[name].system else ()) for name in sorted(KINDS)])
def kind(request: pytest.FixtureRequest) -> tuple[Kind, Any]:
    """The kind of target, with what it prepared: outside the event loop, which daemons may need for themselves."""
    chosen = KINDS[request.param]
    return chosen, chosen.prepare(request)


@pytest.fixture
async def scene(kind: tuple[Kind, Any], tmp_path: Path) -> AsyncGenerator[Scene]:
    """A target in which nothing is left after the test."""
    chosen, prepared = kind
    async with chosen.open(prepared, tmp_path) as scene:
        yield scene
        assert scene.leftovers() == []
