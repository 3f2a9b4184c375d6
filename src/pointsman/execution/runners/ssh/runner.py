"""An account on an SSH host as a target."""

from __future__ import annotations

import secrets as random
import time

from pointsman.execution.connections import SshConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Health, SandboxSpec
from pointsman.execution.runners.asked import require_command, require_handle
from pointsman.execution.runners.ssh import scripts
from pointsman.execution.runners.ssh.hosts import SshHost
from pointsman.execution.runners.ssh.sandbox import SshSandbox, remove
from pointsman.execution.secrets import Secrets
from pointsman.kit.problems import Problem

_PREFIX = "pm-"


class SshRunner:
    """Sandboxes below one folder of an account's, found again by their names."""

    def __init__(self, connection: SshConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._host = SshHost(connection, secrets)
        self._seen: tuple[str, bool] | None = None

    async def probe(self) -> Health:
        started = time.monotonic()
        self._seen = None  # as it is now
        try:
            name, namespaces = await self._try()
        except Problem as problem:
            return Health("unhealthy", _since(started), f"{problem.detail} {problem.hint}".strip())
        if namespaces:
            return Health("healthy", _since(started), f"{name}: processes and network are apart; files are the account's.", "namespaces")
        return Health(
            "healthy", _since(started), f"{name}: nothing is kept apart; jobs there have its network, and all that its account has.", "none"
        )

    async def open(self, spec: SandboxSpec) -> SshSandbox:
        require_handle(spec.handle)
        require_command(["sh"], spec.env)
        return await self._open(spec)

    async def reap(self, handle: str) -> None:
        require_handle(handle)
        await remove(self._host, scripts.Place(self._connection.folder, handle))

    async def list_handles(self) -> list[str]:
        ended, said, complaint = await self._host.ask(scripts.names(self._connection.folder, _PREFIX))
        if ended.code != 0:
            raise TargetFailed(f"The sandboxes were not listed: {complaint}.")
        return said.decode(errors="replace").split()

    async def aclose(self) -> None:
        await self._host.aclose()

    async def _open(self, spec: SandboxSpec) -> SshSandbox:
        name, namespaces = await self._look()
        if spec.mounts:
            raise SandboxRefused(
                "An SSH target has no mounts: jobs there see all that its account sees.", hint="Take `mounts` from its config."
            )
        if not namespaces and self._connection.isolation == "namespaces":
            raise SandboxRefused(f"{name} gives its accounts no namespaces, which this target asks for.", hint=_ALLOWING)
        place = scripts.Place(self._connection.folder, spec.handle)
        ended, _, complaint = await self._host.ask(scripts.make_folders(place))
        if ended.code != 0:
            why = complaint or "it is there already, or the one above it is another account's"
            detail = f"The folder {place.folder} was not made: {why}."
            raise TargetFailed(detail, hint="`connection_config.folder` is a folder that the account alone can write to.")
        return SshSandbox(self._host, place, spec, name=name, namespaces=namespaces)

    async def _try(self) -> tuple[str, bool]:
        """Make a sandbox and run something in it. Raises TargetFailed, SandboxRefused."""
        sandbox = await self._open(SandboxSpec(f"probe-{random.token_hex(6)}", memory_mb=256, cpus=1))
        try:
            ended = await sandbox.exec(["/bin/sh", "-c", "exit 0"], on_output=_unread)
        finally:
            await sandbox.close()
        if ended.exit_code != 0:
            raise TargetFailed(f"A trial command ended with {ended.exit_code or ended.signal}, not with 0.")
        return await self._look()

    async def _look(self) -> tuple[str, bool]:
        """What the host calls itself, and whether its accounts may have namespaces."""
        if self._seen is None:
            ended, said, complaint = await self._host.ask(scripts.look())
            lines = said.decode(errors="replace").split()
            if ended.code != 0 or len(lines) != 2:
                raise TargetFailed(
                    f"{self._host.address} gives no POSIX shell: {complaint or 'it said nothing'}.", hint="It has to be a Linux host."
                )
            self._seen = lines[0], lines[1] == "namespaces" and self._connection.isolation != "none"
        return self._seen


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _unread(_stream: str, _data: bytes) -> None:
    """A trial's output says nothing."""


_ALLOWING = "Allow user namespaces there and install util-linux, or set `connection_config.isolation` to `auto`."
