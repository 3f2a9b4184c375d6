"""The local runner for the suite: in namespaces, in bubblewrap where that is installed, and with nothing at all."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.conformance.scene import Kind, Scene

from pointsman.execution.ports import SandboxSpec
from pointsman.execution.runners.local.cgroups import find_cgroups
from pointsman.execution.runners.local.runner import LocalRunner
from pointsman.execution.runners.local.sandbox import LocalSandbox


def _prepare(isolation: str) -> Callable[[pytest.FixtureRequest], str]:
    def prepare(_request: pytest.FixtureRequest) -> str:
        if isolation == "bubblewrap" and shutil.which("bwrap") is None:
            pytest.skip("bubblewrap is not installed; on Debian: apt-get install bubblewrap")
        if shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") is None:
            pytest.skip("the suite's programs need a Python below /usr, which is what a sandbox sees")
        return isolation

    return prepare


class Remembered(LocalRunner):
    """A runner that knows what it opened, for the time after."""

    def __init__(self, root: Path, isolation: str) -> None:
        super().__init__(root, {"isolation": isolation})
        self.root = root
        self.isolation = isolation
        self.opened: list[str] = []

    async def open(self, spec: SandboxSpec) -> LocalSandbox:
        self.opened.append(spec.handle)
        return await super().open(spec)

    def leftovers(self) -> list[str]:
        """Folders of sandboxes, their cgroups, and processes that see any of them."""
        folders = list(self.root.glob("*")) if self.root.exists() else []
        cgroups = find_cgroups()
        groups = [group for handle in self.opened for group in (cgroups.group(handle).folders if cgroups else ()) if group.exists()]
        return [*map(str, folders), *map(str, groups), *(f"process {pid}" for pid in processes_that_see(self.root))]


def processes_that_see(folder: Path) -> list[int]:
    """Processes in whose view something of this folder is mounted, or that work in it."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                cwd, mounts = str((entry / "cwd").readlink()), (entry / "mountinfo").read_text(errors="replace")
                if cwd.startswith(f"{folder}/") or f"{folder}/" in mounts:
                    found.append(int(entry.name))
    return found


@asynccontextmanager
async def _open(isolation: str, folder: Path) -> AsyncGenerator[Scene]:
    runner, other = (Remembered(folder / "sandboxes", isolation) for _ in range(2))
    health = await runner.probe()
    if health.status != "healthy" and isolation != "none":
        pytest.skip(health.detail)
    limited = find_cgroups() is not None
    try:
        yield Scene(
            runner,
            other,
            lambda: [*runner.leftovers(), *other.leftovers()],
            bounds_memory=True,
            bounds_processes=isolation != "none" or limited,
            isolates=isolation != "none",
        )
    finally:
        await runner.aclose()
        await other.aclose()


KINDS = {
    f"local-{isolation}": Kind(_prepare(isolation), _open, system=isolation == "bubblewrap")
    for isolation in ("namespaces", "bubblewrap", "none")
}
