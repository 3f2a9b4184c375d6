"""A Docker daemon as a target."""

from __future__ import annotations

import json
import secrets
import time

import aiodocker
from aiodocker.containers import DockerContainer

from pointsman.execution.connections import DockerConnection
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Health, SandboxSpec
from pointsman.execution.runners.asked import require_command, require_handle
from pointsman.execution.runners.docker.container import HANDLE, container_config
from pointsman.execution.runners.docker.daemon import NOT_FOUND, Daemon
from pointsman.execution.runners.docker.sandbox import DockerSandbox, remove
from pointsman.execution.secrets import Secrets
from pointsman.kit.problems import Problem

_PULL = 600.0


class DockerRunner:
    """Sandboxes on one Docker daemon, found again by the labels of their containers."""

    def __init__(self, connection: DockerConnection, secrets: Secrets) -> None:
        self._connection = connection
        self._daemon = Daemon(connection, secrets)

    async def probe(self) -> Health:
        started = time.monotonic()
        try:
            detail = await self._try()
        except Problem as problem:
            return Health("unhealthy", _since(started), f"{problem.detail} {problem.hint}".strip())
        return Health("healthy", _since(started), detail, "container")

    async def open(self, spec: SandboxSpec) -> DockerSandbox:
        require_handle(spec.handle)
        require_command(["sh"], spec.env)
        return await self._open(spec, probe=False)

    async def reap(self, handle: str) -> None:
        require_handle(handle)
        for container in await self._found(f"{HANDLE}={handle}"):
            await remove(self._daemon, container)

    async def list_handles(self) -> list[str]:
        return sorted({container["Labels"][HANDLE] for container in await self._found(HANDLE)})

    async def aclose(self) -> None:
        await self._daemon.aclose()

    async def _try(self) -> str:
        """Start a container and a command in it. Raises TargetFailed."""
        info = await self._daemon.info()
        sandbox = await self._open(SandboxSpec(f"probe-{secrets.token_hex(6)}", memory_mb=64, cpus=1, pids=32, disk_mb=16), probe=True)
        try:
            ended = await sandbox.exec(["/bin/sh", "-c", "exit 0"], on_output=_unread)
            counted = await sandbox.peak_memory_mb() is not None
        finally:
            await sandbox.close()
        if ended.exit_code != 0:
            raise TargetFailed(f"A trial command in {self._connection.image!r} ended with {ended.exit_code or ended.signal}, not with 0.")
        evidence = "memory is counted" if counted else "memory cannot be counted there: what runs out of it ends as failed"
        version, api = info.get("ServerVersion"), self._daemon.client().api_version
        return f"Docker {version} (API {api.removeprefix('v')}) starts {self._connection.image}; {evidence}."

    async def _open(self, spec: SandboxSpec, *, probe: bool) -> DockerSandbox:
        host = await self._daemon.name()
        container = await self._create(spec, probe=probe)
        try:
            async with self._daemon.handle_errors("Docker did not start the container", seconds=60):
                await container.start()  # pyright: ignore[reportUnknownMemberType] - the library's own arguments have no types
        except BaseException:
            await remove(self._daemon, container)
            raise
        return DockerSandbox(self._daemon, container, handle=spec.handle, host=host, user=self._connection.user)

    async def _create(self, spec: SandboxSpec, *, probe: bool) -> DockerContainer:
        config = container_config(spec, self._connection, probe=probe)
        client = self._daemon.client()
        async with self._daemon.handle_errors("Docker did not make the container", seconds=_PULL):
            try:
                return await client.containers.create(config, name=spec.handle)
            except aiodocker.DockerError as error:
                if error.status != NOT_FOUND or not self._connection.pull:
                    raise
            await client.images.pull(self._connection.image)
            return await client.containers.create(config, name=spec.handle)

    async def _found(self, label: str) -> list[DockerContainer]:
        async with self._daemon.handle_errors("Docker did not list its containers"):
            containers = self._daemon.client().containers
            return await containers.list(all=1, filters=json.dumps({"label": [label]}))  # pyright: ignore[reportUnknownMemberType] - as above


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _unread(_stream: str, _data: bytes) -> None:
    """A trial's output says nothing."""
