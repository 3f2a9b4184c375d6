"""A pod as a sandbox: commands by exec, each ended with all that it started."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited, OnOutput, Stream
from pointsman.execution.runners.archives import folders_in, gathered, inside, owned, too_large
from pointsman.execution.runners.asked import require_command
from pointsman.execution.runners.counters import Counters
from pointsman.execution.runners.endings import signal_of
from pointsman.execution.runners.kubernetes import scripts
from pointsman.execution.runners.kubernetes.channels import run_script
from pointsman.execution.runners.kubernetes.cluster import NOT_FOUND, Cluster, Refused
from pointsman.execution.runners.kubernetes.pods import has_ended, memory_evidence, why_not
from pointsman.execution.runners.kubernetes.removing import remove

_ENDING = 1.2  # seconds in which a command has to be gone, before its pod goes
_LOOK = 5.0  # seconds between looks at a pod in which a command runs
_TELLING = 10.0  # seconds that a node may take to tell the API server how a container ended


class KubernetesSandbox:
    """One pod of one attempt."""

    def __init__(self, cluster: Cluster, pod: Mapping[str, Any], *, handle: str, env: Mapping[str, str]) -> None:
        """`env` is what every command gets."""
        self._cluster = cluster
        self._pod = str(pod["metadata"]["name"])
        self._node = str(pod["spec"].get("nodeName") or cluster.address)
        self._handle = handle
        self._env = env
        self._gate = asyncio.Lock()  # held while commands are ended, so that none starts meanwhile
        self._running = 0
        self._counters = Counters()
        self._dead = False
        self._removed = False  # by us, because a command did not end otherwise, or by `close`

    @property
    def handle(self) -> str:
        return self._handle

    @property
    def container_id(self) -> str | None:
        return self._pod

    @property
    def host(self) -> str:
        return self._node

    async def upload(self, archive: bytes) -> None:
        checked = await asyncio.to_thread(owned, archive, uid=0, gid=0)  # its owner is who unpacks it
        script = scripts.unpack(await asyncio.to_thread(folders_in, checked), len(checked))
        code, _, complaint = await self._ask("The workspace was not unpacked", script, stdin=checked, seconds=120)
        if code == scripts.LINKED:
            raise SandboxRefused("The workspace has a link where the archive has a folder, and links are not followed.")
        if code != 0:
            raise TargetFailed(f"The workspace was not unpacked: {complaint or f'it ended with {code}'}.", hint=_NEEDED)

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        wanted = list(dict.fromkeys(inside(path) for path in paths))
        code, found, complaint = await self._ask(
            "The files were not packed", scripts.pack(wanted), seconds=120, too_much=too_large(most, paths), most=most
        )
        if code not in {0, 1}:  # 1: a file that changed meanwhile
            raise TargetFailed(f"The files were not packed: {complaint or f'it ended with {code}'}.", hint=_NEEDED)
        return await asyncio.to_thread(gathered, [(".", found)] if found else [])

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> Exited:
        require_command(argv, env or {})
        mark = secrets.token_hex(6)
        script = scripts.run(argv, cwd=inside(cwd), env={**self._env, **(env or {})}, mark=mark, stdin=len(stdin))
        started = time.monotonic()
        async with self._gate:
            self._running += 1
        try:
            code = await self._watched(script, stdin, on_output)
        finally:
            await self._end(mark)
        return await self._exited(code, int((time.monotonic() - started) * 1000))

    async def peak_memory_mb(self) -> int | None:
        peak = self._counters.peak
        return None if peak is None else -(-peak // 2**20)

    async def close(self) -> None:
        self._dead = self._removed = True
        await remove(self._cluster, self._handle)

    async def _watched(self, script: str, stdin: bytes, on_output: OnOutput) -> int | None:
        """The command's exit code, None where its end was not told. A node that is lost says nothing: the API server does, of its pod."""
        running = asyncio.create_task(self._run(script, stdin, on_output))
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            return running.result() if running.done() else None
        finally:
            for task in (running, watching):
                task.cancel()
            await asyncio.wait({running, watching})

    async def _run(self, script: str, stdin: bytes, on_output: OnOutput) -> int | None:
        try:
            async with self._cluster.handle_errors("The cluster lost the command", seconds=None):
                return await run_script(self._cluster, self._pod, script, stdin=stdin, on_output=on_output)
        except TargetFailed:
            if await self._find_reason(await self._look()) is None:
                raise
            return None

    async def _watch(self) -> None:
        """Until the pod runs nothing any more."""
        reason = None
        while reason is None:
            await asyncio.sleep(_LOOK)
            try:
                reason = await self._find_reason(await self._look())
            except TargetFailed:
                continue  # the API server may be away for a moment; the command need not know

    async def _end(self, mark: str) -> None:
        """End everything of a command and read the counters; where that does not go quickly, the pod goes."""
        self._running -= 1
        async with self._gate:
            if self._dead:
                return
            try:
                async with asyncio.timeout(_ENDING):
                    code, told, _ = await self._ask("The command was not ended", scripts.end_and_count("" if not self._running else mark))
            except (TargetFailed, TimeoutError):
                code, told = None, b""
            if code == 0:
                self._counters = Counters.read(told.decode(errors="replace"))
            else:
                self._dead = True

    async def _exited(self, code: int | None, duration: int) -> Exited:
        """What the command's end is worth. Raises TargetFailed where the pod ended under it, or its end is not known."""
        if code == 0:
            return Exited(0, None, duration)
        if self._dead:
            return await self._look_at_the_dead(code, duration)
        if code is None:
            raise TargetFailed("The connection to the command was lost; it was ended.", hint="The job is tried again.")
        name = signal_of(code)
        return Exited(None if name else code, name, duration)

    async def _look_at_the_dead(self, code: int | None, duration: int) -> Exited:
        pod = await self._last_look()
        oom = memory_evidence(pod) if pod else None
        if oom is not None:
            return Exited(None, "SIGKILL", duration, oom)
        reason = await self._find_reason(pod)
        if reason is None:  # it runs, yet did not end the command
            await self._remove()
            name = signal_of(code)
            if code is None:
                raise TargetFailed("A command did not end, so its pod was removed.", hint="The job is tried again.")
            return Exited(None if name else code, name, duration)
        raise TargetFailed(f"The pod ended while a command ran in it: {reason}.", hint="The job is tried again.")

    async def _last_look(self) -> Mapping[str, Any] | None:
        """The pod as it ended; its node tells that some time after it happened."""
        until = time.monotonic() + (0 if self._removed else _TELLING)
        pod = await self._look()
        while pod is not None and not has_ended(pod) and why_not(pod) is None and time.monotonic() < until:
            await asyncio.sleep(0.2)
            pod = await self._look()
        return pod

    async def _find_reason(self, pod: Mapping[str, Any] | None) -> str | None:
        return "it is gone" if pod is None else why_not(pod)

    async def _look(self) -> Mapping[str, Any] | None:
        async with self._cluster.handle_errors("The cluster did not say what became of the pod", seconds=5):
            try:
                return await self._cluster.ask("GET", f"{self._cluster.pods}/{self._pod}")
            except Refused as refusal:
                if refusal.status != NOT_FOUND:
                    raise
                return None

    async def _remove(self) -> None:
        self._removed = True
        await remove(self._cluster, self._handle)

    async def _ask(
        self, what: str, script: str, *, stdin: bytes = b"", seconds: float = 20, most: int = 2**20, too_much: TargetFailed | None = None
    ) -> tuple[int | None, bytes, str]:
        """A short script of ours: its exit code, what it said, and the first of what it complained about. Raises TargetFailed."""
        said, complaint = bytearray(), bytearray()

        def hear(stream: Stream, data: bytes) -> None:
            if stream == "stderr":
                complaint.extend(data[:500])
            elif len(said) + len(data) > most:
                raise too_much or TargetFailed(f"{what}: it said too much.")
            else:
                said.extend(data)

        async with self._cluster.handle_errors(what, seconds=seconds):
            code = await run_script(self._cluster, self._pod, script, stdin=stdin, on_output=hear)
        if code is None:
            raise TargetFailed(f"{what}: the connection ended, or the pod takes no command any more.")
        return code, bytes(said), complaint.decode(errors="replace").strip()[:500]


_NEEDED = "The target's image needs /bin/sh, dd, head and tar."
