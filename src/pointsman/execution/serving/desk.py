"""The sandboxes that this process holds for others: opened within their target's grants, closed when their caller is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic import SecretStr

from pointsman.execution.connections import read_capacity, read_connection
from pointsman.execution.errors import OperatorOnly, SandboxRefused
from pointsman.execution.grants import SecretRef
from pointsman.execution.lending import Runners
from pointsman.execution.ports import Exited, Health, Mount, Sandbox, SandboxSpec
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.runners.asked import require_command
from pointsman.execution.secrets import reveal
from pointsman.execution.serving.errors import RunnerNotServed, SandboxNotFound
from pointsman.execution.serving.output import Output
from pointsman.execution.serving.schemas import Command, SandboxCreate
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Problem
from pointsman.settings import RunnerSettings

_LOOK = 1.0
log = structlog.get_logger()


class Targets(Protocol):
    """The catalogue, as far as it is needed here."""

    async def require_target(self, target_id: str) -> ExecutionTarget:
        """Raises TargetNotFound."""
        ...


@dataclass(slots=True)
class Held:
    """A sandbox, with the runner that it was borrowed from, when its caller was last heard, and what runs in it."""

    sandbox: Sandbox
    borrowed: AsyncExitStack
    heard: float = field(default_factory=time.monotonic)
    commands: dict[str, asyncio.Task[Exited]] = field(default_factory=dict[str, "asyncio.Task[Exited]"])


class RunnerDesk:
    """Serves sandboxes to operators' keys; each key sees its own alone."""

    def __init__(self, targets: Targets, runners: Runners, settings: RunnerSettings, secrets: Mapping[str, SecretStr]) -> None:
        self._targets = targets
        self._runners = runners
        self._settings = settings
        self._secrets = secrets
        self._held: dict[str, Held] = {}

    async def probe(self, principal: Principal, target_id: str) -> Health:
        """Really use the target. Raises RunnerNotServed."""
        async with self._runners.lent(await self._require_target(principal, target_id)) as runner:
            return await runner.probe()

    async def open(self, principal: Principal, asked: SandboxCreate) -> Sandbox:
        """A sandbox that is held from now on. Raises RunnerNotServed, SandboxRefused, TargetFailed."""
        target = await self._require_target(principal, asked.target)
        require_command(["sh"], asked.env)
        spec = _within(target, asked, _served(principal, asked.handle), self._secrets)
        async with AsyncExitStack() as borrowed:
            runner = await borrowed.enter_async_context(self._runners.lent(target))
            sandbox = await runner.open(spec)
            self._held[spec.handle] = Held(sandbox, borrowed.pop_all())
        return sandbox

    async def list_handles(self, principal: Principal, target_id: str) -> list[str]:
        """The caller's sandboxes on this target, held by this process or left over from another. Raises RunnerNotServed, TargetFailed."""
        prefix = _served(principal, "pm-")
        async with self._runners.lent(await self._require_target(principal, target_id)) as runner:
            handles = await runner.list_handles()
        return [f"pm-{handle.removeprefix(prefix)}" for handle in handles if handle.startswith(prefix)]

    async def reap(self, principal: Principal, target_id: str, handle: str) -> None:
        """Close it if it is held, and remove whatever is left. Repeatable. Raises RunnerNotServed, TargetFailed."""
        target = await self._require_target(principal, target_id)
        served = _served(principal, handle)
        await self._close(served)
        async with self._runners.lent(target) as runner:
            await runner.reap(served)

    def require(self, principal: Principal, handle: str) -> Sandbox:
        """The sandbox, whose caller has been heard again. Raises SandboxNotFound."""
        return self._require_held(principal, handle).sandbox

    async def execute(self, principal: Principal, handle: str, command: Command) -> AsyncGenerator[bytes]:
        """Frames of what the command says, then how it ended; closing them ends it. Raises SandboxNotFound at once."""
        held = self._require_held(principal, handle)
        output = Output()
        running = asyncio.create_task(
            held.sandbox.exec(command.argv, on_output=output.hear, cwd=command.cwd, env=command.env, stdin=command.stdin)
        )
        held.commands[command.id] = running
        try:
            async for frame in output.told(running):
                yield frame
        finally:
            await _ended(running)
            held.commands.pop(command.id, None)
            held.heard = time.monotonic()

    async def cancel(self, principal: Principal, handle: str, command_id: str) -> None:
        """End a command with all its processes; returns when they are gone. One that has ended is as good. Raises SandboxNotFound."""
        running = self._require_held(principal, handle).commands.get(command_id)
        if running is not None:
            await _ended(running)

    async def run(self) -> None:
        """Close what nobody asks for any more, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            silent_since = time.monotonic() - self._settings.lease.total_seconds()
            for handle in [handle for handle, held in self._held.items() if not held.commands and held.heard < silent_since]:
                log.warning("runner.caller_is_silent", handle=handle)
                await self._close_quietly(handle)

    async def aclose(self) -> None:
        """Close everything that is held."""
        await asyncio.gather(*(self._close_quietly(handle) for handle in list(self._held)))
        await self._runners.aclose()

    async def _require_target(self, principal: Principal, target_id: str) -> ExecutionTarget:
        _require_operator(principal)
        if target_id not in self._settings.targets:
            raise RunnerNotServed(
                f"The target {target_id!r} is not served.", hint="The operator there adds it to POINTSMAN_RUNNER__TARGETS."
            )
        return await self._targets.require_target(target_id)

    def _require_held(self, principal: Principal, handle: str) -> Held:
        _require_operator(principal)
        held = self._held.get(_served(principal, handle))
        if held is None:
            raise SandboxNotFound(f"No sandbox {handle!r} is held here.", hint="Was it closed, or its caller silent for too long?")
        held.heard = time.monotonic()
        return held

    async def _close(self, served: str) -> None:
        held = self._held.pop(served, None)
        if held is not None:
            async with held.borrowed:
                await held.sandbox.close()

    async def _close_quietly(self, served: str) -> None:
        try:
            await self._close(served)
        except Problem as problem:
            log.warning("runner.not_closed", handle=served, error=problem.detail)


async def _ended(running: asyncio.Task[Exited]) -> None:
    """Cancelled once, whoever asks: a second time would interrupt the sandbox while it ends the command's processes."""
    if not running.cancelling():
        running.cancel()
    await asyncio.wait({running})


def _require_operator(principal: Principal) -> None:
    if not principal.is_operator:
        raise OperatorOnly("This key belongs to a tenant.", hint="Use a key without owner_id: an operator's.")


def _served(principal: Principal, handle: str) -> str:
    """Its name here: not that of an attempt of ours, and another one for each key."""
    return f"pm-served-{principal.key_id}-{handle.removeprefix('pm-')}"


def _within(target: ExecutionTarget, asked: SandboxCreate, handle: str, secrets: Mapping[str, SecretStr]) -> SandboxSpec:
    """The sandbox that the target grants. Raises SandboxRefused for more than that."""
    granted, capacity = read_connection(target.type, target.connection_config), read_capacity(target.capacity)
    for name, wanted, most in (("memory_mb", asked.memory_mb, capacity.memory_mb), ("cpus", asked.cpus, capacity.cpus)):
        if wanted > most:
            raise SandboxRefused(f"{name} is {wanted}, and the target {target.id} grants {most}.", hint="Ask for less.")
    if asked.network and not granted.network:
        raise SandboxRefused(f"The target {target.id} grants no network.", hint="Ask for none, or have its operator change that.")
    env = {name: reveal(value, secrets) if isinstance(value, SecretRef) else value for name, value in granted.env.items()}
    return SandboxSpec(
        handle=handle,
        memory_mb=asked.memory_mb,
        cpus=asked.cpus,
        pids=asked.pids,
        disk_mb=asked.disk_mb,
        network=asked.network,
        mounts=tuple(Mount(mount.source, mount.path, mount.writable) for mount in granted.mounts),
        env={**asked.env, **env},
    )
