"""Where servers with a command run: each in a sandbox without a network, with the folders and the environment that it was given."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Mount, SandboxSpec
from pointsman.execution.runners.local.runner import LocalRunner
from pointsman.settings import StdioServerSettings
from pointsman.tools.mcp.errors import McpServerFailed
from pointsman.tools.mcp.wire import Ends

if TYPE_CHECKING:
    from pointsman.tools.mcp.transport_stdio import Program

_HANDLE = re.compile(r"pm-mcp-(\d{1,12})-[0-9a-f]{16}")
_LONGEST = 2 * 3600  # seconds, well beyond the longest life of a session
_PROCESSES = 128  # threads count
_DISK_MB = 64
_ENV = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


class Programs:
    """Starts servers below `folder`, which is theirs alone. Close it with `aclose`, which ends what still runs."""

    def __init__(self, folder: Path, answer_bytes: int) -> None:
        self._folder = folder
        self._answer_bytes = answer_bytes
        self._runner = LocalRunner(folder, {})
        self._tidied = False

    def running(self, server_id: str, settings: StdioServerSettings) -> Running:
        """A server that is started when its streams are opened."""
        return Running(self, server_id, settings)

    @asynccontextmanager
    async def started(self, server_id: str, settings: StdioServerSettings) -> AsyncGenerator[Program]:
        """The program of a server in its sandbox, which ends with the block. Raises McpServerFailed where there can be no sandbox."""
        if not self._tidied:
            await self._tidy()
        try:
            sandbox = await self._runner.open(_spec(settings))
        except (SandboxRefused, TargetFailed) as problem:
            raise McpServerFailed(f"The MCP server {server_id} has no sandbox: {problem.detail}", hint=problem.hint) from problem
        try:
            # Only now, for it loads the library of the protocol.
            transport = import_module("pointsman.tools.mcp.transport_stdio")
            yield transport.Program(sandbox, [settings.command, *settings.args], self._answer_bytes)
        finally:
            await sandbox.close()

    async def aclose(self) -> None:
        """End all of them."""
        await self._runner.aclose()

    async def _tidy(self) -> None:
        """Remove what killed gateways of this host left: the name of a sandbox says until when it may be there."""
        self._tidied = True
        for handle in await self._runner.list_handles():
            found = _HANDLE.fullmatch(handle)
            if found is None or int(found[1]) < time.time():
                with suppress(TargetFailed):
                    await self._runner.reap(handle)


class Running:
    """See `wire.Carrier`: a server that is started when its streams are opened."""

    def __init__(self, programs: Programs, server_id: str, settings: StdioServerSettings) -> None:
        self._programs = programs
        self._server_id = server_id
        self._settings = settings
        self._program: Program | None = None

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Ends]:
        """Start it, and kill it when the block ends."""
        async with self._programs.started(self._server_id, self._settings) as program:
            self._program = program
            async with program.streams() as streams:
                yield streams

    @property
    def ended(self) -> bool:
        """Whether it has run and runs no more."""
        return self._program is not None and self._program.ended

    def complaints(self) -> str:
        """The end of its standard error, and how it ended if it did."""
        return "" if self._program is None else self._program.complaints


def _spec(settings: StdioServerSettings) -> SandboxSpec:
    folders = [folder for folder in settings.folders if not f"{folder}/".startswith("/usr/")]
    return SandboxSpec(
        handle=f"pm-mcp-{int(time.time()) + _LONGEST}-{secrets.token_hex(8)}",
        memory_mb=settings.memory_mb,
        cpus=1.0,
        pids=_PROCESSES,
        disk_mb=_DISK_MB,
        network=False,
        mounts=tuple(Mount(folder, folder) for folder in folders),
        env=_ENV | {name: value.get_secret_value() for name, value in settings.env.items()},
    )
