"""The registry of runners: a target's type leads to its module, which is imported when the first target of that type is used."""

from __future__ import annotations

import importlib

from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Health, Runner, Sandbox, SandboxSpec
from pointsman.execution.rows import ExecutionTarget
from pointsman.settings import Settings

_EXTRAS = {"docker": "docker", "kubernetes": "kubernetes", "ssh": "ssh"}


def make_runner(target: ExecutionTarget, settings: Settings) -> Runner:
    """A runner for this target. Where its libraries are missing it is one that only says so."""
    try:
        module = importlib.import_module(f"{__name__}.{target.type}")
    except ModuleNotFoundError as error:
        return _Missing(target, error.name or "")
    return module.make(target, settings)


class _Missing:
    """Stands for a runner whose libraries are not installed."""

    def __init__(self, target: ExecutionTarget, module: str) -> None:
        extra = _EXTRAS.get(target.type)
        self._detail = f"Targets of type {target.type} need {module}, which is not installed."
        self._hint = f"pip install pointsman[{extra}]" if extra else "Use a target of another type."

    async def probe(self) -> Health:
        return Health("unhealthy", 0.0, f"{self._detail} {self._hint}")

    async def open(self, spec: SandboxSpec) -> Sandbox:
        del spec
        raise TargetFailed(self._detail, hint=self._hint)

    async def reap(self, handle: str) -> None:
        del handle
        raise TargetFailed(self._detail, hint=self._hint)

    async def list_handles(self) -> list[str]:
        return []

    async def aclose(self) -> None:
        return
