"""Targets of type `ssh`: each sandbox is a folder on another host, apart by namespaces where that host has them."""

from __future__ import annotations

from pointsman.execution.connections import SshConnection, read_connection
from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.ssh.runner import SshRunner
from pointsman.settings import Settings


def make(target: ExecutionTarget, settings: Settings) -> Runner:
    """The runner of this target. Raises InvalidRequest for a config that is none."""
    connection = read_connection("ssh", target.connection_config)
    assert isinstance(connection, SshConnection)
    return SshRunner(connection, settings.secrets)
