"""One sandbox on this host: a folder, a cgroup, and namespaces that each command gets afresh."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Exited, OnOutput, SandboxSpec
from pointsman.execution.runners.local.account import Account
from pointsman.execution.runners.local.archives import pack, unpack
from pointsman.execution.runners.local.cgroups import Group
from pointsman.execution.runners.local.folders import Folder, started_at
from pointsman.execution.runners.local.watching import Excess, Watch, running_below
from pointsman.kit.confinement.order import WORKSPACE, Bind, Order
from pointsman.kit.confinement.spawning import ConfinementFailed, ConfinementRefused, Ended, Spawner

_PATH = "/usr/local/bin:/usr/bin:/bin"
_OPEN_FILES = 4096
_MOST_TEMPORARY_MB = 256
_MOST_MEMORY_TIMES = 8  # of its limit may one process have between two looks, where no cgroup bounds it


@dataclass(frozen=True, slots=True)
class Confinement:
    """How commands are kept apart on this host: `isolation` is `namespaces`, `bubblewrap` or `none`."""

    isolation: str
    account: Account
    bubblewrap: str | None = None


class LocalSandbox:
    """See `execution.ports.Sandbox`."""

    def __init__(self, spec: SandboxSpec, folder: Folder, group: Group | None, confinement: Confinement, spawner: Spawner) -> None:
        self._spec = spec
        self._folder = folder
        self._group = group
        self._confinement = confinement
        self._spawner = spawner
        self._running: set[asyncio.Task[Ended]] = set()
        self._inits: set[int] = set()
        bounded = group is not None and group.bounds_memory
        self._watch = Watch(folder.workspace, spec.disk_mb, None if bounded else spec.memory_mb)
        self._closed = False

    @property
    def handle(self) -> str:
        return self._spec.handle

    @property
    def container_id(self) -> str | None:
        return None

    @property
    def host(self) -> str:
        return socket.gethostname()

    async def upload(self, archive: bytes) -> None:
        """Unpack a tar into the workspace. Raises SandboxRefused for members outside it, links out of it, and devices."""
        self._require_open()
        account = self._confinement.account
        await asyncio.to_thread(unpack, archive, str(self._folder.workspace), account.uid, account.gid)

    async def download(self, paths: Sequence[str] = (".",), *, most: int = 64 * 2**20) -> bytes:
        self._require_open()
        return await asyncio.to_thread(pack, str(self._folder.workspace), paths, most)

    async def exec(
        self, argv: Sequence[str], *, on_output: OnOutput, cwd: str = ".", env: Mapping[str, str] | None = None, stdin: bytes | int = b""
    ) -> Exited:
        """As the port has it; `stdin` may be an open descriptor of a file, which the command then reads without seeing where it lies."""
        self._require_open()
        order = self._order(argv, cwd, {"PATH": _PATH, "HOME": self._home, **self._spec.env, **(env or {})})
        kills = self._group.count_oom_kills() if self._group else 0
        began = time.monotonic()
        ended, excess = await self._run(order, on_output, stdin)
        took = int((time.monotonic() - began) * 1000)
        oom = excess.oom if excess else None
        if self._group and ended.code != 0 and self._group.count_oom_kills() > kills:
            oom = self._group.proof()
        return Exited(ended.code, None if ended.signal is None else signal.Signals(ended.signal).name, took, oom)

    async def peak_memory_mb(self) -> int | None:
        """From the cgroup; without one the most that was seen, which may miss what lasted a tenth of a second."""
        return self._group.peak_memory_mb() if self._group else self._watch.peak_mb or None

    async def close(self) -> None:
        """End everything that runs in it and remove it. Repeatable. Raises TargetFailed."""
        self._closed = True
        for running in self._running:
            running.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.to_thread(self._remove)

    @property
    def _home(self) -> str:
        return str(self._folder.workspace) if self._confinement.isolation == "none" else WORKSPACE

    async def _run(self, order: Order, on_output: OnOutput, stdin: bytes | int) -> tuple[Ended, Excess | None]:
        """Run to the end, or until a bound is passed, which ends it by SIGKILL and tells so on stderr."""

        def tell(descriptor: int, data: bytes) -> None:
            on_output("stdout" if descriptor == 1 else "stderr", data)

        running = asyncio.create_task(self._spawner.run(order, tell, stdin, self._begin))
        watching = asyncio.create_task(self._watch.wait(self._processes))
        self._running.add(running)
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                excess = watching.result()
                on_output("stderr", f"pointsman: the command was ended: {excess.detail}\n".encode())
                return Ended(None, signal.SIGKILL), excess
            if running.cancelled():
                raise TargetFailed(f"The sandbox {self.handle} was closed while a command ran.")
            return running.result(), None
        except (ConfinementRefused, ConfinementFailed) as error:
            raise TargetFailed(f"The sandbox {self.handle} did not work: {error}.") from error
        finally:
            running.cancel()
            watching.cancel()
            await asyncio.wait({running, watching})
            self._running.discard(running)

    def _begin(self, init: int) -> None:
        self._inits = {known for known in self._inits if started_at(known)} | {init}
        self._folder.remember(init)

    def _processes(self) -> list[int]:
        return self._group.members() if self._group else running_below(self._inits)

    def _remove(self) -> None:
        if self._group is not None:
            self._group.end()
        self._folder.remove()

    def _require_open(self) -> None:
        if self._closed or not self._folder.workspace.is_dir():
            raise TargetFailed(f"The sandbox {self.handle} is no longer there.")

    def _order(self, argv: Sequence[str], cwd: str, environment: Mapping[str, str]) -> Order:
        require_runnable(argv, environment)
        spec, account = self._spec, self._confinement.account
        # without namespaces the kernel would count every process that the account has anywhere
        unbound = self._confinement.isolation == "none" or (self._group is not None and self._group.bounds_pids)
        return Order(
            argv=list(argv),
            environment=dict(environment),
            cwd=cwd,
            workspace=str(self._folder.workspace),
            stage=str(self._folder.stage),
            uid=account.uid,
            gid=account.gid,
            binds=[Bind(mount.source, mount.path, writable=mount.writable) for mount in spec.mounts],
            cgroups=[str(folder) for folder in self._group.folders] if self._group else [],
            network=spec.network,
            files_mb=spec.disk_mb,
            open_files=_OPEN_FILES,
            processes=0 if unbound else spec.pids,
            memory_mb=0 if self._group and self._group.bounds_memory else _MOST_MEMORY_TIMES * spec.memory_mb,
            tmp_mb=max(1, min(_MOST_TEMPORARY_MB, spec.memory_mb // 2, spec.disk_mb)),
            namespaces=self._confinement.isolation != "none",
            bubblewrap=self._confinement.bubblewrap,
        )


def require_runnable(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raises SandboxRefused for what no kernel takes, and for a name of ours in the environment."""
    if not argv or not argv[0]:
        raise SandboxRefused("A command needs a program.", hint='Name one: ["ls", "-l"].')
    if any("\0" in word for word in (*argv, *environment, *environment.values())) or any("=" in name or not name for name in environment):
        raise SandboxRefused("A command or its environment holds a NUL, or a name that is empty or has '='.")
    ours = [name for name in environment if name.upper().startswith("POINTSMAN_")]
    if ours:
        raise SandboxRefused(f"{ours[0]} cannot be set in a sandbox: names that begin with POINTSMAN_ are the gateway's own.")
