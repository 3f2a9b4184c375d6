"""Targets of type `remote_service`: a target of another Pointsman, by its runner API."""

from __future__ import annotations

from pointsman.execution.connections import RemoteServiceConnection, read_connection
from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.remote_service.runner import RemoteRunner
from pointsman.settings import Settings


def make(target: ExecutionTarget, settings: Settings) -> Runner:
    """The runner of this target. Raises InvalidRequest for a config that is none."""
    connection = read_connection("remote_service", target.connection_config)
    assert isinstance(connection, RemoteServiceConnection)
    return RemoteRunner(connection, settings.secrets)
