"""Has files read in sandboxes, and believes nothing that comes out of one."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited, Mount, SandboxSpec
from pointsman.execution.runners.local.runner import LocalRunner
from pointsman.knowledge.parsing.answers import Answers
from pointsman.knowledge.parsing.errors import ParsingUnavailable, Unreadable
from pointsman.knowledge.parsing.limits import ParsingLimits
from pointsman.knowledge.parsing.reasons import explain
from pointsman.knowledge.pieces import Piece

_INSIDE = "pointsman/knowledge/parsing/inside"
_PROGRAM = (
    "import sys; sys.path.append('/parser'); from pointsman.knowledge.parsing.inside.reading import main; "
    "sys.path += sys.argv[2:]; main(sys.argv[1])"
)
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_PYTHON = os.path.realpath(sys.executable)  # a virtual environment would be a link to it
_PROCESSES = 64  # threads count
_TEMPORARY_MB = 64
_LEFT_AFTER = 2 * 3600.0  # seconds; longer than any file may take
_SPARE_MB = 64  # between what the program bounds itself by, which gives a reason, and what ends it


class Parser:
    """Reads files below `folder`, which is its own and where its sandboxes lie. Close it with `aclose`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = LocalRunner(folder, {})
        self._cleared = False

    async def parse(self, path: Path, *, filename: str, content_type: str | None, limits: ParsingLimits) -> list[Piece]:
        """The text of a file, whose name and type are only what somebody says of it.

        Raises Unreadable with a reason for who uploaded it, ParsingUnavailable where it cannot be kept apart, TargetFailed where the
        sandbox itself failed, OSError where there is no such file.
        """
        if not self._cleared:
            await self._clear()
        asked = json.dumps({
            "filename": filename,
            "content_type": content_type or "",
            "memory_mb": limits.memory_mb,
            "cpu_seconds": limits.cpu_seconds,
            "text_bytes": limits.text_bytes,
            "pages": limits.pages,
        })  # fmt: skip
        document = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return await self._read(document, asked, limits)
        finally:
            os.close(document)

    async def aclose(self) -> None:
        """End what still reads."""
        await self._runner.aclose()

    async def _read(self, document: int, asked: str, limits: ParsingLimits) -> list[Piece]:
        bound = asyncio.timeout(limits.wall_seconds)
        answers = Answers(limits, overran=lambda: _expire(bound))
        mounts, packages = _environment()
        spec = SandboxSpec(
            handle=f"pm-parse-{secrets.token_hex(8)}",
            memory_mb=limits.memory_mb + _SPARE_MB,
            cpus=1.0,
            pids=_PROCESSES,
            disk_mb=_TEMPORARY_MB,
            mounts=mounts,
            env=_ENVIRONMENT,
        )
        try:
            sandbox = await self._runner.open(spec)
        except SandboxRefused as refused:
            raise ParsingUnavailable(refused.detail, hint=refused.hint) from refused
        try:
            argv = [_PYTHON, "-I", "-S", "-B", "-c", _PROGRAM, asked, *packages]
            async with bound:
                ended = await sandbox.exec(argv, on_output=answers.hear, stdin=document)
        except TimeoutError:
            raise Unreadable(explain("too-much-text" if answers.excessive else "time")) from None
        finally:
            await sandbox.close()
        return _judge(ended, answers)

    async def _clear(self) -> None:
        """Remove sandboxes of readers that were killed."""
        self._cleared = True
        for handle in await self._runner.list_handles():
            with suppress(FileNotFoundError):
                if time.time() - (self._folder / handle).stat().st_mtime > _LEFT_AFTER:
                    await self._runner.reap(handle)


def _expire(bound: asyncio.Timeout) -> None:
    """End the reading now; what still comes while it ends changes nothing."""
    if not bound.expired():
        bound.reschedule(asyncio.get_running_loop().time())


def _judge(ended: Exited, answers: Answers) -> list[Piece]:
    """Raises Unreadable."""
    if ended.oom is not None:
        raise Unreadable(explain("memory"))
    if answers.refusal is not None:
        raise Unreadable(explain(*answers.refusal))
    if ended.signal in {"SIGXCPU", "SIGKILL"}:
        raise Unreadable(explain("time"))
    if ended.exit_code in {126, 127}:
        raise TargetFailed(f"The reader of files could not be started: {answers.said}")
    if not answers.complete:
        raise Unreadable(explain("damaged"))
    if not answers.pieces:
        raise Unreadable(explain("no-text"))
    return answers.pieces


def _environment() -> tuple[tuple[Mount, ...], list[str]]:
    """What a sandbox sees of this Python, and where it finds the libraries that read files."""
    mounts = [Mount(str(Path(__file__).with_name("inside")), f"/parser/{_INSIDE}")]
    prefixes = dict.fromkeys([sys.base_prefix, sys.base_exec_prefix])
    mounts += [Mount(prefix, prefix) for prefix in prefixes if not f"{prefix}/".startswith("/usr/")]
    found = [importlib.util.find_spec(name) for name in ("pypdf", "markitdown")]
    folders = dict.fromkeys(Path(spec.origin).parents[1] for spec in found if spec is not None and spec.origin)
    packages = [f"/packages/{number}" for number in range(len(folders))]
    mounts += [Mount(str(folder), package) for folder, package in zip(folders, packages, strict=True)]
    return tuple(mounts), packages
