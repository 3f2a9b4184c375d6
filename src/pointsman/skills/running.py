"""Scripts of skills in a sandbox of a target: no network, no mounts, nothing of the host's, within bounds, gone afterwards."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from pointsman.execution.errors import TargetFailed
from pointsman.execution.lending import Runners
from pointsman.execution.ports import Exited, Sandbox, SandboxSpec
from pointsman.execution.rows import ExecutionTarget
from pointsman.jobs.outputs import Stream
from pointsman.kit.problems import Problem
from pointsman.settings import SkillSettings
from pointsman.skills.errors import SkillScriptRefused
from pointsman.skills.folders import File, pack_tar

_ENV = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
_SLACK = 60.0  # seconds beyond its time in which a sandbox is opened and closed
_LOOK = 60.0
_HANDLE = re.compile(r"pm-skill-(\d{1,12})-[0-9a-f]{16}")

log = structlog.get_logger()


class Targets(Protocol):
    """The catalogue of targets, as far as it is needed here."""

    async def require_target(self, target_id: str) -> ExecutionTarget:
        """Raises TargetNotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """How a script ended; without `exited` it was killed when its time was up."""

    exited: Exited | None
    seconds: float
    stdout: str
    stderr: str
    cut_off: bool

    @property
    def went_well(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.exited is not None and self.exited.exit_code == 0

    def told(self) -> dict[str, Any]:
        """What a model is told of it."""
        told: dict[str, Any] = {"exit_code": self.exited.exit_code if self.exited else None, "stdout": self.stdout, "stderr": self.stderr}
        if self.exited is None:
            told["error"] = f"It was killed: it did not end within {self.seconds:g} s."
        elif self.exited.oom is not None:
            told["error"] = "It was killed: it used more memory than it may."
        elif self.exited.signal is not None:
            told["error"] = f"It was ended by {self.exited.signal}."
        if self.cut_off:
            told["cut_off"] = True
        return told


class Scripts:
    """Runs scripts, so many at once as the settings say."""

    def __init__(self, targets: Targets, runners: Runners, settings: SkillSettings) -> None:
        self._targets = targets
        self._runners = runners
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.concurrent_scripts)

    async def run(self, files: Sequence[File], argv: Sequence[str], stdin: bytes) -> Ran:
        """Run a command in a folder with these files. Raises SkillScriptRefused, TargetFailed, SandboxRefused, TargetNotFound."""
        archive = await asyncio.to_thread(pack_tar, files)
        async with self._slots, self._runners.lent(await self._target()) as runner:
            sandbox = await runner.open(self._spec())
            try:
                await sandbox.upload(archive)
                return await self._until_its_end(sandbox, argv, stdin)
            finally:
                # Shielded: what was opened is closed, also when the turn was cancelled meanwhile.
                await asyncio.shield(_close(sandbox))

    async def tidy(self) -> None:
        """Remove what dead gateways of this host left behind, at once and every minute, until cancelled."""
        while True:
            try:
                await self.tidy_once()
            except Problem as problem:
                log.warning("skills.not_tidied", error=problem.detail)
            await asyncio.sleep(_LOOK)

    async def tidy_once(self) -> int:
        """How many sandboxes there were whose time was over long ago. Raises TargetFailed, TargetNotFound, Unavailable."""
        async with self._runners.lent(await self._target()) as runner:
            stale = [handle for handle in await runner.list_handles() if is_stale(handle)]
            for handle in stale:
                await runner.reap(handle)
        return len(stale)

    async def aclose(self) -> None:
        """Let go of the target."""
        await self._runners.aclose()

    async def _target(self) -> ExecutionTarget:
        target = await self._targets.require_target(self._settings.target)
        if target.connection_config.get("isolation") == "none":
            raise SkillScriptRefused(
                f"The target {target.id} keeps nothing apart, so no script of a skill is run on it.",
                hint="Set its isolation to auto, or POINTSMAN_SKILLS__TARGET to another target.",
            )
        return target

    def _spec(self) -> SandboxSpec:
        settings = self._settings
        # The name says until when it may be there: whoever finds it later knows that nobody uses it, whichever gateway made it.
        until = int(time.time() + settings.script_timeout.total_seconds() + _SLACK)
        return SandboxSpec(
            handle=f"pm-skill-{until}-{secrets.token_hex(8)}",
            memory_mb=settings.script_memory_mb,
            cpus=1.0,
            pids=64,
            disk_mb=64,
            network=False,
            env=_ENV,
        )

    async def _until_its_end(self, sandbox: Sandbox, argv: Sequence[str], stdin: bytes) -> Ran:
        kept = _Kept(self._settings.script_output_bytes)
        seconds = self._settings.script_timeout.total_seconds()
        exited: Exited | None = None
        try:
            async with asyncio.timeout(seconds):
                exited = await sandbox.exec(argv, on_output=kept.hear, stdin=stdin)
        except TimeoutError:
            log.info("skills.script_killed", handle=sandbox.handle)
        return Ran(exited, seconds, kept.text("stdout"), kept.text("stderr"), kept.cut_off)


def is_stale(handle: str) -> bool:
    """Whether it is a skill's sandbox whose time is over."""
    found = _HANDLE.fullmatch(handle)
    return found is not None and int(found[1]) < time.time()


class _Kept:
    """The beginning of what a script prints; the rest is read and forgotten, so that it does not block."""

    def __init__(self, most: int) -> None:
        self._left: dict[Stream, int] = {"stdout": most, "stderr": most}
        self._parts: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
        self.cut_off = False

    def hear(self, stream: Stream, data: bytes) -> None:
        part = data[: self._left[stream]]
        self._left[stream] -= len(part)
        self._parts[stream].append(part)
        self.cut_off = self.cut_off or len(part) < len(data)

    def text(self, stream: Stream) -> str:
        return b"".join(self._parts[stream]).decode(errors="replace").replace("\0", "\ufffd")


async def _close(sandbox: Sandbox) -> None:
    try:
        await sandbox.close()
    except TargetFailed as problem:
        log.warning("skills.sandbox_not_closed", handle=sandbox.handle, error=problem.detail)
