"""The runner of `local` targets."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Health, Mount, SandboxSpec
from pointsman.execution.runners.local.account import choose_account
from pointsman.execution.runners.local.cgroups import Limits, find_cgroups
from pointsman.execution.runners.local.folders import Folder, folder_of, list_folders
from pointsman.execution.runners.local.sandbox import Confinement, LocalSandbox
from pointsman.kit.confinement.spawning import Spawner

_REMEDY = (
    "Allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces=10000; on Ubuntu also "
    "kernel.apparmor_restrict_unprivileged_userns=0), or run the worker with CAP_SYS_ADMIN, or use a target of type docker."
)
_INSTALL = "Install bubblewrap (apt-get install bubblewrap), or set the target's isolation to auto."
_TAKEN = ("bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr", "workspace")
_PROBE_LASTS = 300.0  # seconds, at the very most
_PROBE = SandboxSpec(handle="probe", memory_mb=64, cpus=1.0, pids=16, disk_mb=16)


class LocalRunner:
    """See `execution.ports.Runner`. `root` is the folder of all sandboxes of this host; `config` is the target's `connection_config`.

    `isolation` in the config: `auto` (the default), `bubblewrap`, `namespaces`, or `none`, which lets jobs see what their account can see.
    """

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        self._root = root
        self._asked = str(config.get("isolation", "auto"))
        self._spawner = Spawner()
        self._cgroups = find_cgroups()
        self._proved: Confinement | None = None

    async def probe(self) -> Health:
        began = time.monotonic()
        try:
            confinement = await self._prove()
        except (TargetFailed, SandboxRefused) as problem:
            return Health("unhealthy", _milliseconds(began), " ".join(filter(None, (problem.detail, problem.hint))), None)
        self._proved = confinement
        return Health("healthy", _milliseconds(began), self._describe(confinement), confinement.isolation)

    async def open(self, spec: SandboxSpec) -> LocalSandbox:
        folder = folder_of(self._root, spec.handle)
        if self._proved is None:
            self._proved = await self._prove()
        return await asyncio.to_thread(self._make, spec, folder, self._proved)

    async def reap(self, handle: str) -> None:
        await asyncio.to_thread(_reap, folder_of(self._root, handle))

    async def list_handles(self) -> list[str]:
        return await asyncio.to_thread(list_folders, self._root)

    async def aclose(self) -> None:
        """Let go of the spawner; commands that still run in its sandboxes end with it."""
        await self._spawner.aclose()

    def _make(self, spec: SandboxSpec, folder: Folder, confinement: Confinement) -> LocalSandbox:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for mount in spec.mounts:
            _require_mountable(mount)
        group = self._cgroups.group(spec.handle) if self._cgroups else None
        folder.create(confinement.account, group)
        if self._cgroups:
            try:
                self._cgroups.create(spec.handle, Limits(spec.memory_mb, spec.pids, spec.cpus))
            except TargetFailed:
                _reap(folder)
                raise
        return LocalSandbox(spec, folder, group, confinement, self._spawner)

    async def _prove(self) -> Confinement:
        """The first confinement that works here, found by running something in each. Raises SandboxRefused."""
        await asyncio.to_thread(_clear_probes, self._root)
        reasons: list[str] = []
        for confinement in self._candidates():
            reason = await self._try(confinement)
            if reason is None:
                return confinement
            reasons.append(f"{confinement.isolation}: {reason}")
        raise SandboxRefused(f"Jobs cannot be kept apart on this host ({'; '.join(reasons)}).", hint=_REMEDY)

    async def _try(self, confinement: Confinement) -> str | None:
        """Why it does not work; None where it does."""
        folder = Folder(self._root / f"probe-{os.getpid()}-{secrets.token_hex(4)}")
        heard: list[bytes] = []
        try:
            sandbox = await asyncio.to_thread(self._make, replace(_PROBE, handle=folder.path.name), folder, confinement)
            try:
                ended = await sandbox.exec(["true"], on_output=lambda _stream, data: heard.append(data))
            finally:
                await sandbox.close()
        except TargetFailed as problem:
            said = b"".join(heard).decode(errors="replace").strip()
            return f"{problem.detail} {said}".strip()
        return None if ended.exit_code == 0 else f"`true` ended with {ended.exit_code}, {ended.signal}"

    def _candidates(self) -> list[Confinement]:
        account = choose_account()
        bubblewrap = shutil.which("bwrap")
        found = [Confinement("namespaces", account), Confinement("none", account)]
        if bubblewrap is not None:
            found.insert(0, Confinement("bubblewrap", account, bubblewrap))
        wanted = {"auto": {"bubblewrap", "namespaces"}}.get(self._asked, {self._asked})
        chosen = [confinement for confinement in found if confinement.isolation in wanted]
        if not chosen:
            raise SandboxRefused(f"The target's isolation {self._asked} cannot be had: there is no such program.", hint=_INSTALL)
        return chosen

    def _describe(self, confinement: Confinement) -> str:
        limits = f"cgroup v{self._cgroups.version}" if self._cgroups else "rlimits, watched"
        return f"isolation {confinement.isolation}, limits by {limits}, jobs run as uid {confinement.account.uid}"


def _reap(folder: Folder) -> None:
    for pid in folder.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if (group := folder.cgroups()) is not None:
        group.end()
    folder.remove()


def _clear_probes(root: Path) -> None:
    """Remove what probes left whose worker was killed meanwhile."""
    for path in root.glob("probe-*-*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _PROBE_LASTS:
                _reap(Folder(path))


def _require_mountable(mount: Mount) -> None:
    """Raises TargetFailed, SandboxRefused."""
    if not Path(mount.source).is_absolute() or not Path(mount.source).exists():
        raise TargetFailed(f"{mount.source}, which the target lets jobs see, is not there.")
    parts = Path(mount.path).parts
    if parts[:1] != ("/",) or len(parts) < 2 or ".." in parts or parts[1] in _TAKEN:
        raise SandboxRefused(f"Nothing can be mounted at {mount.path} in a sandbox.", hint="Choose a path of its own, such as /data.")


def _milliseconds(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
