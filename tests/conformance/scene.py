"""What the suite needs of a kind of target, and how it runs things on one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pointsman.execution.ports import Exited, Runner, Sandbox, SandboxSpec, Stream

PYTHON = "python3"  # every target of the suite has it, a shell and the usual small programs


@dataclass(frozen=True)
class Scene:
    """One target, as two workers see it.

    `leftovers` lists whatever there is of this target's sandboxes: processes, containers, cgroups, folders.
    """

    runner: Runner
    other: Runner
    leftovers: Callable[[], list[str]]
    bounds_memory: bool = True
    bounds_processes: bool = True
    isolates: bool = True
    outlives_memory: bool = True  # whether a sandbox goes on where a command of it ran out of memory
    own_variables: frozenset[str] = frozenset()  # what this target adds to the environment of commands


@dataclass(frozen=True)
class Kind:
    """A kind of target: `prepare` skips with the reason where it cannot run here, and gives `open` what lasts longer than one test."""

    prepare: Callable[[pytest.FixtureRequest], Any]
    open: Callable[[Any, Path], AbstractAsyncContextManager[Scene]]
    system: bool = False  # needs Debian packages and root


@dataclass
class Ran:
    """A command that ended, with what it said."""

    exited: Exited | None = None
    chunks: list[tuple[Stream, bytes]] = field(default_factory=list[tuple[Stream, bytes]])

    @property
    def stdout(self) -> bytes:
        return b"".join(data for stream, data in self.chunks if stream == "stdout")

    @property
    def stderr(self) -> bytes:
        return b"".join(data for stream, data in self.chunks if stream == "stderr")

    @property
    def code(self) -> int | None:
        assert self.exited is not None
        return self.exited.exit_code

    def hear(self, stream: Stream, data: bytes) -> None:
        self.chunks.append((stream, data))


def spec(**changes: Any) -> SandboxSpec:
    """A small sandbox of an attempt that there was never before."""
    default = SandboxSpec(handle=f"pm-{uuid4()}-1", memory_mb=256, cpus=2.0, pids=64, disk_mb=64)
    return replace(default, **changes)


async def run(
    sandbox: Sandbox, *argv: str, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b"", ran: Ran | None = None
) -> Ran:
    """Run a command to its end."""
    ran = ran or Ran()
    ran.exited = await sandbox.exec(argv, on_output=ran.hear, cwd=cwd, env=env, stdin=stdin)
    return ran


async def python(sandbox: Sandbox, program: str, *arguments: str, **options: Any) -> Ran:
    """Run a Python program to its end."""
    return await run(sandbox, PYTHON, "-I", "-c", program, *arguments, **options)


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if data else None)
    return buffer.getvalue()


def member(name: str, data: bytes = b"", mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar."""
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.linkname = mode, kind, link
    return info, data


def unpacked(archive: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The members of a tar by name."""
    found: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            found[info.name.removeprefix("./").rstrip("/") or "."] = info, file.read() if file else b""
    return found
