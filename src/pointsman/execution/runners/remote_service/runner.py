"""A target of another Pointsman as a target."""

from __future__ import annotations

import asyncio
import json
import time

from pointsman.execution.connections import RemoteServiceConnection
from pointsman.execution.errors import SandboxRefused
from pointsman.execution.ports import Health, SandboxSpec
from pointsman.execution.runners.asked import require_command, require_handle
from pointsman.execution.runners.remote_service.calling import RunnerApi
from pointsman.execution.runners.remote_service.sandbox import RemoteSandbox
from pointsman.execution.secrets import Secrets
from pointsman.execution.serving.schemas import SandboxCreate
from pointsman.kit.problems import Problem


class RemoteRunner:
    """Sandboxes that another Pointsman holds for one of its keys."""

    def __init__(self, connection: RemoteServiceConnection, secrets: Secrets) -> None:
        self._target = connection.target
        self._url = connection.url
        self._api = RunnerApi(connection, secrets)
        self._renewals: set[asyncio.Task[None]] = set()

    async def probe(self) -> Health:
        started = time.monotonic()
        try:
            told = json.loads(await self._api.call("GET", "probe", query=[("target", self._target)]))
        except Problem as problem:
            return Health("unhealthy", _since(started), f"{problem.detail} {problem.hint}".strip())
        return Health(told["status"], _since(started), f"{self._target} at {self._url}: {told['detail']}", told["isolation"])

    async def open(self, spec: SandboxSpec) -> RemoteSandbox:
        require_handle(spec.handle)
        require_command(["sh"], spec.env)
        if spec.mounts:
            raise SandboxRefused(
                "A remote service has no mounts but those of its own target.", hint="Take `mounts` from this target's config."
            )
        body = SandboxCreate.of(self._target, spec).model_dump()
        opened = json.loads(await self._api.call("POST", "sandboxes", body=body))
        sandbox = RemoteSandbox(self._api, self._target, spec.handle, opened)
        self._renewals.add(sandbox.renewing)
        sandbox.renewing.add_done_callback(self._renewals.discard)
        return sandbox

    async def reap(self, handle: str) -> None:
        require_handle(handle)
        await self._api.call("DELETE", "sandboxes", handle, query=[("target", self._target)])

    async def list_handles(self) -> list[str]:
        return json.loads(await self._api.call("GET", "sandboxes", query=[("target", self._target)]))["handles"]

    async def aclose(self) -> None:
        for renewing in self._renewals:
            renewing.cancel()
        await self._api.aclose()


def _since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
