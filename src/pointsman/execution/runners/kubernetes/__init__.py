"""Targets of type `kubernetes`: each sandbox is the pod of a Job of its own, under the restricted Pod Security profile."""

from __future__ import annotations

from pointsman.execution.connections import KubernetesConnection, read_connection
from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.kubernetes.runner import KubernetesRunner
from pointsman.settings import Settings


def make(target: ExecutionTarget, settings: Settings) -> Runner:
    """The runner of this target. Raises InvalidRequest for a config that is none."""
    connection = read_connection("kubernetes", target.connection_config)
    assert isinstance(connection, KubernetesConnection)
    return KubernetesRunner(connection, settings.secrets)
