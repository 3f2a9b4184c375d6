"""Targets of type `local`: jobs on the worker's own host, each in namespaces and a cgroup of its own."""

from __future__ import annotations

from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.local.runner import LocalRunner
from pointsman.settings import Settings


def make(target: ExecutionTarget, settings: Settings) -> Runner:
    """The runner of a target. Its sandboxes lie in the data directory, where all workers of this host that share it find them."""
    return LocalRunner(settings.data_dir / "sandboxes", target.connection_config)
