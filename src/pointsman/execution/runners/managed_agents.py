"""Targets of type `managed_agents`: the address of a remote agent API. Work there has no sandbox of ours."""

from __future__ import annotations

import time
from datetime import timedelta

from pointsman.execution.connections import ManagedAgentsConnection, read_connection
from pointsman.execution.engines.remote_api import headers_of
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.ports import Health, Sandbox, SandboxSpec
from pointsman.execution.rows import ExecutionTarget
from pointsman.kit.egress import EgressFailed, EgressTimeout, EgressTooLarge, Trusted
from pointsman.settings import Settings

_WITHIN = timedelta(seconds=10)
_UNAUTHORIZED = {401, 403}


def make(target: ExecutionTarget, settings: Settings) -> ManagedAgentsRunner:
    """The runner; nothing is asked yet."""
    connection = read_connection(target.type, target.connection_config)
    assert isinstance(connection, ManagedAgentsConnection)
    return ManagedAgentsRunner(connection, settings)


class ManagedAgentsRunner:
    """The port `Runner`. What was started remotely is found again by its remote id, which the job remembers, and never reaped from here."""

    def __init__(self, connection: ManagedAgentsConnection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._client = Trusted()

    async def probe(self) -> Health:
        """Ask the API's address: any answer but one that refuses the key or reports a defect is healthy."""
        began = time.monotonic()
        try:
            headers = headers_of(self._connection, self._settings.secrets)
            answer = await self._client.request("GET", self._connection.url, headers=headers, timeout=_WITHIN)
        except (EgressFailed, EgressTimeout, EgressTooLarge, TargetFailed) as problem:
            return Health("unhealthy", _since(began), f"{problem.detail} {problem.hint}".strip(), None)
        if answer.status in _UNAUTHORIZED:
            return Health("unhealthy", _since(began), f"It refuses the key: status {answer.status}.", None)
        if answer.status >= 500:
            return Health("unhealthy", _since(began), f"It answers with status {answer.status}.", None)
        return Health("healthy", _since(began), f"It answers, with status {answer.status}.", "remote")

    async def open(self, spec: SandboxSpec) -> Sandbox:
        """Raises SandboxRefused."""
        del spec
        raise SandboxRefused("A target of type managed_agents has no sandboxes.", hint="Use it with an engine of type managed_agent.")

    async def reap(self, handle: str) -> None:
        """Nothing: whoever goes on with the job goes on with what runs there."""
        del handle

    async def list_handles(self) -> list[str]:
        """None that would be ours to remove."""
        return []

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000
