"""A folder on an SSH host as a sandbox: processes carry a mark in their environment, and end with their namespace where there is one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited, OnOutput, SandboxSpec, Stream
from pointsman.execution.runners.archives import folders_in, gathered, inside, owned, too_large
from pointsman.execution.runners.asked import require_command
from pointsman.execution.runners.endings import signal_of
from pointsman.execution.runners.ssh import scripts
from pointsman.execution.runners.ssh.hosts import Ended, SshHost

_ENDING = 1.8  # seconds in which a command that was cancelled has to be gone


class SshSandbox:
    """One folder of one attempt."""

    def __init__(self, host: SshHost, place: scripts.Place, spec: SandboxSpec, *, name: str, namespaces: bool) -> None:
        """`name` is what the host calls itself."""
        self._host = host
        self._place = place
        self._spec = spec
        self._name = name
        self._namespaces = namespaces
        self._numbers = itertools.count(1)

    @property
    def handle(self) -> str:
        return self._place.handle

    @property
    def container_id(self) -> str | None:
        return None

    @property
    def host(self) -> str:
        return self._name

    async def upload(self, archive: bytes) -> None:
        checked = await asyncio.to_thread(owned, archive, uid=0, gid=0)  # its owner is who unpacks it
        script = scripts.unpack(self._place, await asyncio.to_thread(folders_in, checked))
        answer = await self._host.ask(script, stdin=checked, seconds=120)
        if answer[0].code == scripts.LINKED:
            raise SandboxRefused("The workspace has a link where the archive has a folder, and links are not followed.")
        _require(answer, "The workspace was not unpacked")

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        wanted = list(dict.fromkeys(inside(path) for path in paths))
        found, complaint = bytearray(), bytearray()

        def take(stream: Stream, data: bytes) -> None:
            if stream == "stderr":
                complaint.extend(data[:500])
            elif len(found) + len(data) > most:
                raise too_large(most, paths)
            else:
                found.extend(data)

        ended = await self._host.run(scripts.pack(self._place, wanted), on_output=take)
        if ended.code != 1:  # a file that changed meanwhile
            _require((ended, b"", complaint.decode(errors="replace")), "The files were not packed")
        return await asyncio.to_thread(gathered, [(".", bytes(found))] if found else [])

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        require_command(argv, env or {})
        number = next(self._numbers)
        script = scripts.run(self._place, self._spec, argv, number=number, cwd=inside(cwd), env=env or {}, namespaces=self._namespaces)
        started = time.monotonic()
        try:
            ended = await self._host.run(script, mark=scripts.mark(self._place, number), stdin=stdin, on_output=on_output)
        except BaseException:
            await self._end(number)
            raise
        if ended.code == scripts.MISSING:
            _require(await self._host.ask(scripts.is_there(self._place)), "The command was not started: its sandbox is gone")
        name = f"SIG{ended.signal}" if ended.signal else signal_of(ended.code)
        return Exited(None if name else ended.code, name, int((time.monotonic() - started) * 1000))

    async def peak_memory_mb(self) -> int | None:
        return None

    async def close(self) -> None:
        await remove(self._host, self._place)

    async def _end(self, number: int) -> None:
        """A host that cannot be talked to keeps it until `reap`."""
        with suppress(TargetFailed):
            await self._host.ask(scripts.end(self._place, number), seconds=_ENDING)


async def remove(host: SshHost, place: scripts.Place) -> None:
    """End all of a sandbox and remove it. Repeatable. Raises TargetFailed."""
    _require(await host.ask(scripts.remove(place), seconds=20), f"The sandbox {place.handle} was not removed")


def _require(answer: tuple[Ended, bytes, str], what: str) -> None:
    ended, _, complaint = answer
    if ended.code == scripts.MISSING:
        raise TargetFailed(f"{what}: its folder is gone.", hint="Something on the host removed it; was the sandbox closed?")
    if ended.code != 0:
        raise TargetFailed(f"{what}: {complaint or f'it ended with {ended.code or ended.signal}'}.")
