"""A container as a sandbox: commands by exec, each ended with all that it started."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiodocker
from aiodocker.containers import DockerContainer
from aiodocker.execs import Exec

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited, OnOutput, OutOfMemory
from pointsman.execution.runners.archives import folders_in, gathered, inside, owned, single, too_large
from pointsman.execution.runners.asked import require_command
from pointsman.execution.runners.counters import Counters
from pointsman.execution.runners.docker.container import WORKSPACE
from pointsman.execution.runners.docker.daemon import CONFLICT, NOT_FOUND, Daemon
from pointsman.execution.runners.docker.scripts import END_AND_COUNT, NO_LINKS, RUN, shell
from pointsman.execution.runners.endings import signal_of

_ARGUMENTS = 500
_DYING = 0.2  # seconds that Docker may take to know that a container is ending
_ENDING = 0.8  # seconds in which a command has to be gone, before its container goes


class DockerSandbox:
    """One container of one attempt."""

    def __init__(self, daemon: Daemon, container: DockerContainer, *, handle: str, host: str, user: str) -> None:
        """`user` is the UID:GID that commands run as."""
        self._daemon = daemon
        self._container = container
        self._handle = handle
        self._host = host
        self._user = user
        self._gate = asyncio.Lock()  # held while commands are ended, so that none starts meanwhile
        self._running = 0
        self._counters = Counters(oom_kills=0)
        self._dead = False
        self._killed = False  # by us, because a command did not end otherwise

    @property
    def handle(self) -> str:
        return self._handle

    @property
    def container_id(self) -> str | None:
        return self._container.id

    @property
    def host(self) -> str:
        return self._host

    async def upload(self, archive: bytes) -> None:
        checked = await asyncio.to_thread(self._owned, archive)
        folders = await asyncio.to_thread(folders_in, checked)
        for start in range(0, len(folders), _ARGUMENTS):
            code, _ = await self._quietly(shell(NO_LINKS, *folders[start : start + _ARGUMENTS]))
            if code != 0:
                raise SandboxRefused("The workspace has a link where the archive has a folder, and links are not followed.")
        await self._put(checked)

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        parts: list[tuple[str, bytes]] = []
        left = most
        for path in dict.fromkeys(inside(path) for path in paths):
            part = await self._get(path, left)
            if part is None:
                raise too_large(most, paths)
            left -= len(part[1])
            parts.append(part)
        return await asyncio.to_thread(gathered, [part for part in parts if part[1]])

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        require_command(argv, env or {})
        mark = secrets.token_hex(6)
        started = time.monotonic()
        async with self._gate:
            self._running += 1
            before = self._counters
        try:
            code = await self._run(shell(RUN, inside(cwd), await self._offer(stdin), mark, *argv), on_output, env)
        finally:
            await self._end(mark)
        return await self._exited(code, int((time.monotonic() - started) * 1000), before)

    async def peak_memory_mb(self) -> int | None:
        peak = self._counters.peak
        return None if peak is None else -(-peak // 2**20)

    async def close(self) -> None:
        self._dead = True
        await remove(self._daemon, self._container)

    async def _exited(self, code: int | None, duration: int, before: Counters) -> Exited:
        """What the command's end is worth. Raises TargetFailed where the container ended under it."""
        if code == 0:
            return Exited(0, None, duration)  # what was ended within it was its own business
        oom = await self._look_at_the_dead() if self._dead else _evidence(before, self._counters)
        name = "SIGKILL" if code is None else signal_of(code)
        if oom is None and self._dead and (code is None or not self._killed):
            raise TargetFailed("The container ended while a command ran in it.", hint="Somebody or something on its host stopped it.")
        return Exited(None if name else code, name, duration, oom)

    async def _run(self, command: list[str], on_output: OnOutput, env: Mapping[str, str] | None) -> int | None:
        """The command's exit code; None where its container ended with it."""
        try:
            async with self._daemon.handle_errors("Docker did not start the command"):
                execution = await self._container.exec(
                    command, stdout=True, stderr=True, stdin=False, user=self._user, environment=dict(env or {}), workdir=WORKSPACE
                )
            async with self._daemon.handle_errors("Docker lost the command", seconds=None), execution.start(detach=False) as stream:
                while (message := await stream.read_out()) is not None:
                    on_output("stdout" if message.stream == 1 else "stderr", message.data)
            return await self._code_of(execution)
        except TargetFailed:
            if await self._is_running():
                raise
            self._dead = True
            return None

    async def _code_of(self, execution: Exec) -> int:
        """The end of the output and that of the process are told one after the other."""
        async with self._daemon.handle_errors("Docker did not say how the command ended"):
            while (seen := await execution.inspect())["Running"]:  # noqa: ASYNC110 - the daemon has no event for it
                await asyncio.sleep(0.02)
        return int(seen["ExitCode"])

    async def _is_running(self) -> bool:
        async with self._daemon.handle_errors("Docker did not say what became of the container", seconds=5):
            seen = await self._state()
        return seen is not None and bool(seen["Running"])

    async def _end(self, mark: str) -> None:
        """End everything of a command and read the counters; where that does not go quickly, the container goes."""
        self._running -= 1
        async with self._gate:
            if self._dead:
                return
            try:
                async with asyncio.timeout(_ENDING):
                    self._counters = await self._count(mark if self._running else "")
            except TimeoutError:
                self._dead = True
                self._killed = await self._kill()
            except TargetFailed:
                self._dead = True
                await asyncio.sleep(_DYING)
                self._killed = await self._is_running() and await self._kill()

    async def _count(self, mark: str) -> Counters:
        code, told = await self._quietly(shell(END_AND_COUNT, mark))
        if code != 0:
            raise TargetFailed("The container takes no command any more.")
        return Counters.read(told)

    async def _quietly(self, argv: list[str]) -> tuple[int, str]:
        """A short command of ours: its exit code, and all that it said."""
        told = bytearray()
        async with self._daemon.handle_errors("Docker did not run a command"):
            execution = await self._container.exec(argv, stdout=True, stderr=True, stdin=False, user=self._user, workdir=WORKSPACE)
            async with execution.start(detach=False) as stream:
                while (message := await stream.read_out()) is not None:
                    told += message.data
        return await self._code_of(execution), told.decode(errors="replace")

    def _owned(self, archive: bytes) -> bytes:
        uid, _, gid = self._user.partition(":")
        return owned(archive, uid=int(uid), gid=int(gid))

    async def _kill(self) -> bool:
        """Whether it was this that ended the container."""
        try:
            async with self._daemon.handle_errors("Docker did not end the container", seconds=_ENDING):
                await self._container.kill()
        except TargetFailed:
            return False
        return True

    async def _look_at_the_dead(self) -> OutOfMemory | None:
        async with self._daemon.handle_errors("Docker did not say how the container ended"):
            seen = await self._state()
        if seen is None or not seen["OOMKilled"]:
            return None
        return OutOfMemory("docker.OOMKilled", f"The container ended with exit code {seen['ExitCode']}, and Docker says OOMKilled.")

    async def _state(self) -> dict[str, Any] | None:
        try:
            seen = await self._container.show()  # pyright: ignore[reportUnknownMemberType] - the library's own arguments have no types
            return seen["State"]
        except aiodocker.DockerError as error:
            if error.status != NOT_FOUND:
                raise
            return None

    async def _offer(self, stdin: bytes) -> str:
        """A file that the command reads from, removed before it starts: not every connection to Docker can be closed halfway."""
        if not stdin:
            return ""
        name = f".stdin-{secrets.token_hex(8)}"
        await self._put(self._owned(single(name, stdin)))
        return f"{WORKSPACE}/{name}"

    async def _put(self, archive: bytes) -> None:
        async with self._daemon.handle_errors("Docker did not take the workspace", seconds=120):
            await self._container.put_archive(WORKSPACE, io.BytesIO(archive))  # pyright: ignore[reportUnknownMemberType] - the library's own arguments have no types

    async def _get(self, path: str, most: int) -> tuple[str, bytes] | None:
        """The folder that the names of the tar begin in, and the tar: empty where there is no such path, None where it is too large."""
        client = self._daemon.client()
        url = f"{client.docker_host}/{client.api_version}/containers/{self._container.id}/archive"
        found = bytearray()
        async with (
            self._daemon.handle_errors("Docker did not give the files", seconds=120),
            client.session.get(url, params={"path": f"{WORKSPACE}/{path}"}) as response,
        ):
            if response.status == NOT_FOUND:
                return ".", b""
            if response.status >= 400:
                raise aiodocker.DockerError(response.status, (await response.text())[:500])
            async for piece in response.content.iter_any():
                found += piece
                if len(found) > most:
                    return None
        return path.rpartition("/")[0] or ".", bytes(found)


async def remove(daemon: Daemon, container: DockerContainer) -> None:
    """End a container and all in it; gone already, or going, is as good. Raises TargetFailed."""
    async with daemon.handle_errors("Docker did not remove the container"):
        try:
            await container.delete(force=True, v=True)
        except aiodocker.DockerError as error:
            if error.status not in {NOT_FOUND, CONFLICT}:
                raise


def _evidence(before: Counters, after: Counters) -> OutOfMemory | None:
    if after.oom_kills is None or after.oom_kills <= (before.oom_kills or 0):
        return None
    times = after.oom_kills - (before.oom_kills or 0)
    return OutOfMemory("cgroup.oom_kill", f"The kernel ended {times} of the command's processes at the container's memory limit.")
