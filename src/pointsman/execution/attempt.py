"""One attempt at a job, as its engine sees it: what is to be done, the sandbox, the readers, and who has to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pointsman.execution.allowance import Allowance
from pointsman.execution.ports import Permit, Runner, Sandbox, SandboxSpec, Stream
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.selecting import Choice
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import Claimed, Waiting
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit import json_text

CLOSE_WITHIN = 10.0  # seconds: a target that does not answer keeps nobody; what is left is reaped later

FindWorkspace = Callable[[], Awaitable[bytes | None]]
Tell = Callable[[str, Stream], None]
Ask = Callable[[str, str, str, dict[str, Any]], Awaitable[Permit]]
MakeAsk = Callable[[Waiting, WorkerConfig], Ask]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, and within which bounds after the policies of target, engine and worker have been applied."""

    job: Waiting
    spec: JobSpec
    worker: WorkerConfig
    choice: Choice
    allowance: Allowance


@dataclass(slots=True)
class Attempt:
    """The port `Work`, over what the driver gives; `close` ends what is open."""

    order: Order
    claimed: Claimed
    sandbox_spec: Callable[[], SandboxSpec]
    runner: Callable[[], Awaitable[Runner]]
    find_workspace: FindWorkspace
    tell: Tell
    ask: Ask
    opened: Sandbox | None = None
    peak_memory_mb: int | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def job_id(self) -> str:
        return str(self.claimed.job_id)

    @property
    def epoch(self) -> int:
        return self.claimed.epoch

    @property
    def run_id(self) -> str | None:
        return self.order.job.run_id

    @property
    def tenant_id(self) -> str:
        return self.order.job.tenant_id

    @property
    def user_id(self) -> str | None:
        return self.order.job.user_id

    @property
    def key_id(self) -> int | None:
        return self.order.job.key_id

    @property
    def agent_id(self) -> str | None:
        return self.order.job.agent_id

    @property
    def prompt(self) -> str:
        return self.order.job.prompt

    @property
    def spec(self) -> JobSpec:
        return self.order.spec

    @property
    def worker(self) -> WorkerConfig:
        return self.order.worker

    @property
    def target(self) -> ExecutionTarget:
        return self.order.choice.target

    @property
    def handler_config(self) -> dict[str, Any]:
        return self.order.choice.engine.handler_config

    @property
    def provider(self) -> str:
        return self.order.choice.engine.provider

    @property
    def allowance(self) -> Allowance:
        """What it may do beyond what `worker` says."""
        return self.order.allowance

    @property
    def checkpoint(self) -> dict[str, Any]:
        return json_text.decode(self.claimed.checkpoint) if self.claimed.checkpoint else {}

    async def sandbox(self) -> Sandbox:
        """The one sandbox, opened by whoever asks first."""
        async with self._opening:
            if self.opened is None:
                runner = await self.runner()
                self.opened = await runner.open(self.sandbox_spec())
                workspace = await self.find_workspace()
                if workspace is not None:
                    await self.opened.upload(workspace)
        return self.opened

    def output(self, text: str, stream: Stream = "stdout") -> None:
        """Passed on, batched and bounded."""
        self.tell(text, stream)

    async def permit(self, call_id: str, tool: str, argument: str, args: dict[str, Any]) -> Permit:
        """Judged by what the worker's config says."""
        return await self.ask(call_id, tool, argument, args)

    async def close(self) -> None:
        """End everything that runs. Raises TargetFailed, TimeoutError."""
        if self.opened is not None:
            async with asyncio.timeout(CLOSE_WITHIN):
                self.peak_memory_mb = await self.opened.peak_memory_mb()
                await self.opened.close()
