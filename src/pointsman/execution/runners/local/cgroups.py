"""Limits by cgroup: version 2 where its controllers are to be had, else version 1, else none."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import OutOfMemory

_PATIENCE = 2.0  # seconds in which the processes of a cgroup that was killed are gone
_PAUSE = 0.005
_PERIOD_MICROSECONDS = 100_000
_MB = 2**20
_CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox gets at most; memory counts swap."""

    memory_mb: int
    pids: int
    cpus: float


@dataclass(frozen=True, slots=True)
class Group:
    """The cgroup of one sandbox: one folder in version 2, one per controller in version 1."""

    folders: tuple[Path, ...]

    @property
    def bounds_memory(self) -> bool:
        """Whether the kernel holds the memory limit."""
        return any((folder / name).exists() for folder in self.folders for name in ("memory.max", "memory.limit_in_bytes"))

    @property
    def bounds_pids(self) -> bool:
        """Whether the kernel holds the limit of processes."""
        return any((folder / "pids.max").exists() for folder in self.folders)

    def count_oom_kills(self) -> int:
        """How many processes the kernel has killed because the limit was reached."""
        return next((int(value) for name in ("memory.events", "memory.oom_control") if (value := self._field(name, "oom_kill"))), 0)

    def proof(self) -> OutOfMemory:
        """What the kernel says about its kills."""
        limit = self._read("memory.max") or self._read("memory.limit_in_bytes") or ""
        return OutOfMemory("cgroup.oom_kill", f"oom_kill {self.count_oom_kills()}, limit {limit.strip()} bytes")

    def peak_memory_mb(self) -> int | None:
        """Most memory used so far, rounded up."""
        peak = self._read("memory.peak") or self._read("memory.memsw.max_usage_in_bytes") or self._read("memory.max_usage_in_bytes")
        return None if peak is None else -(-int(peak) // _MB)

    def members(self) -> list[int]:
        """The ids of the processes in it."""
        return sorted({int(line) for folder in self.folders for line in _lines(folder / "cgroup.procs")})

    def end(self) -> None:
        """Kill whatever is in it and remove it. Repeatable; raises TargetFailed where something survives SIGKILL."""
        deadline = time.monotonic() + _PATIENCE
        while not self._removed():
            self._kill()
            if time.monotonic() > deadline:
                raise TargetFailed(f"Processes of {self.folders[0].name} do not end: {self.members()}.")
            time.sleep(_PAUSE)

    def _kill(self) -> None:
        for folder in self.folders:
            with suppress(OSError):
                (folder / "cgroup.kill").write_text("1", encoding="ascii")  # version 2: all at once
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _removed(self) -> bool:
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()
        return not any(folder.exists() for folder in self.folders)

    def _read(self, name: str) -> str | None:
        for folder in self.folders:
            with suppress(OSError):
                return (folder / name).read_text(encoding="ascii")
        return None

    def _field(self, name: str, field: str) -> str | None:
        words = (line.split() for line in (self._read(name) or "").splitlines())
        return next((line[1] for line in words if len(line) == 2 and line[0] == field), None)


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where this process may make cgroups: below its own."""

    version: int
    parents: tuple[Path, ...]

    def create(self, name: str, limits: Limits) -> Group:
        """Make a sandbox's cgroup with its limits. Raises TargetFailed."""
        group = self.group(name)
        try:
            for folder in group.folders:
                folder.mkdir(exist_ok=True)
                for file, value in self._settings(limits):
                    if (folder / file).exists():
                        (folder / file).write_text(value, encoding="ascii")
        except OSError as error:
            raise TargetFailed(f"The cgroup {name} could not be made: {error}.") from error
        return group

    def group(self, name: str) -> Group:
        """The cgroup of this name, whether it exists or not."""
        return Group(tuple(parent / name for parent in self.parents))

    def _settings(self, limits: Limits) -> list[tuple[str, str]]:
        memory, quota = limits.memory_mb * _MB, int(limits.cpus * _PERIOD_MICROSECONDS)
        return [
            ("memory.max", str(memory)),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
            ("memory.limit_in_bytes", str(memory)),
            ("memory.memsw.limit_in_bytes", str(memory)),  # after the former, which it must not be below
            ("memory.swappiness", "0"),
            ("pids.max", str(limits.pids)),
            ("cpu.max", f"{quota} {_PERIOD_MICROSECONDS}"),
            ("cpu.cfs_period_us", str(_PERIOD_MICROSECONDS)),
            ("cpu.cfs_quota_us", str(quota)),
        ]


def find_cgroups(mountinfo: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")) -> Cgroups | None:
    """Where cgroups with limits of memory and processes can be made here; None where they cannot."""
    mounts = _mounts(mountinfo)
    unified: Path | None = None
    separate: dict[str, Path] = {}
    for line in _lines(own):
        number, names, path = line.split(":", 2)
        if number == "0":
            unified = _located(mounts.get(""), path)
        for name in names.split(","):
            if name in _CONTROLLERS and (found := _located(mounts.get(name), path)) is not None:
                separate[name] = found
    if unified is not None and (parent := _delegated(unified)) is not None:
        return Cgroups(2, (parent,))
    if {"memory", "pids"} <= separate.keys() and all(os.access(folder, os.W_OK) for folder in separate.values()):
        return Cgroups(1, tuple(dict.fromkeys(separate.values())))
    return None


def _delegated(own: Path) -> Path | None:
    """The folder of version 2 below which controllers are on, or could be switched on.

    Where processes are, controllers cannot be on for those below: so ours move into a leaf of their own first.
    """
    base = own.parent if own.name == "pointsman-worker" else own
    wanted = {"memory", "pids", "cpu"} & set(_words(base / "cgroup.controllers"))
    if not {"memory", "pids"} <= wanted or not os.access(base, os.W_OK):
        return None
    try:
        if not wanted <= set(_words(base / "cgroup.subtree_control")):
            leaf = base / "pointsman-worker"
            leaf.mkdir(exist_ok=True)
            for pid in _lines(base / "cgroup.procs"):
                with suppress(ProcessLookupError):
                    (leaf / "cgroup.procs").write_text(pid, encoding="ascii")
            (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)), encoding="ascii")
    except OSError:
        return None
    return base


def _mounts(mountinfo: Path) -> dict[str, tuple[str, Path]]:
    """Controller ('' for version 2) -> the part of the hierarchy that is mounted, and where."""
    found: dict[str, tuple[str, Path]] = {}
    for line in _lines(mountinfo):
        before, _, after = line.partition(" - ")
        root, where = before.split()[3:5]
        kind, _, options = after.split()[:3]
        names = [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
        found.update({name: (root, Path(where)) for name in names})
    return found


def _located(mounted: tuple[str, Path] | None, path: str) -> Path | None:
    if mounted is None:
        return None
    root, where = mounted
    folder = where / path.removeprefix(root.rstrip("/")).lstrip("/")
    return folder if folder.is_dir() else None


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]
