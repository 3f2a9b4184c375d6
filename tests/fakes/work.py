"""A Work without a database: permits are judged by patterns, approvals are what the test says."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.sandbox import FolderSandbox

from pointsman.execution.allowance import Allowance, matches
from pointsman.execution.ports import Permit, Stream
from pointsman.execution.rows import ExecutionTarget, TargetType
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import WorkerConfig


def target_of(kind: TargetType, connection_config: dict[str, Any]) -> ExecutionTarget:
    now = dt.datetime.now(dt.UTC)
    return ExecutionTarget("there", "There", kind, connection_config, {}, "linux_worker_pool", now, now, is_active=True)


@dataclass
class FakeWork:
    """One attempt. `decisions` maps call ids to what a person decided, `asked` lists what would be asked."""

    place: FolderSandbox
    spec: JobSpec = field(default_factory=JobSpec)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    allowance: Allowance = field(default_factory=lambda: Allowance(512, 1.0, 15.0))
    prompt: str = ""
    target: ExecutionTarget = field(default_factory=lambda: target_of("local", {}))
    handler_config: dict[str, Any] = field(default_factory=dict[str, Any])
    provider: str = "scripted"
    checkpoint: dict[str, Any] = field(default_factory=dict[str, Any])
    decisions: dict[str, Permit] = field(default_factory=dict[str, Permit])
    asked: list[tuple[str, str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, str, dict[str, Any]]])
    told: list[tuple[Stream, str]] = field(default_factory=list[tuple[Stream, str]])
    opened: int = 0
    job_id: str = "6f9c1a52-0000-4000-8000-000000000001"
    epoch: int = 1
    run_id: str | None = None
    tenant_id: str = ""
    user_id: str | None = None
    key_id: int | None = None
    agent_id: str | None = None

    async def sandbox(self) -> FolderSandbox:
        self.opened += 1
        return self.place

    def output(self, text: str, stream: Stream = "stdout") -> None:
        self.told.append((stream, text))

    async def permit(self, call_id: str, tool: str, argument: str, args: dict[str, Any]) -> Permit:
        permissions = self.worker.permissions
        if any(matches(pattern, tool, argument) for pattern in permissions.deny):
            return Permit("deny", args, "permissions.deny says so")
        if not any(matches(pattern, tool, argument) for pattern in permissions.ask):
            return Permit("allow", args)
        if call_id in self.decisions:
            return self.decisions[call_id]
        if (call_id, tool, argument, args) not in self.asked:
            self.asked.append((call_id, tool, argument, args))
        return Permit("ask", args, approval_id=f"apr_{call_id}")

    def text(self, stream: Stream = "stdout") -> str:
        """What the readers were told."""
        return "".join(text for name, text in self.told if name == stream)
