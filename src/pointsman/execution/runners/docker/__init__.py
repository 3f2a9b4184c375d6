"""Targets of type `docker`: each sandbox is a hardened container of its own."""

from __future__ import annotations

from pointsman.execution.connections import DockerConnection, read_connection
from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.docker.runner import DockerRunner
from pointsman.settings import Settings


def make(target: ExecutionTarget, settings: Settings) -> Runner:
    """The runner of this target. Raises InvalidRequest for a config that is none."""
    connection = read_connection("docker", target.connection_config)
    assert isinstance(connection, DockerConnection)
    return DockerRunner(connection, settings.secrets)
