"""Whether a tool may be called within a job: what its worker's permissions say, and what a person has decided."""

from __future__ import annotations

from typing import Any

from pointsman.execution.allowance import matches
from pointsman.execution.attempt import Ask, MakeAsk
from pointsman.execution.ports import Permit
from pointsman.jobs.rows import Waiting
from pointsman.jobs.worker_config import WorkerConfig


def asker() -> MakeAsk:
    """How permits are judged in this installation."""

    def make(job: Waiting, worker: WorkerConfig) -> Ask:
        del job
        permissions = worker.permissions

        async def judged(call_id: str, tool: str, argument: str, args: dict[str, Any]) -> Permit:
            del call_id
            if any(matches(pattern, tool, argument) for pattern in permissions.deny):
                return Permit("deny", args, "it is denied by the worker's permissions")
            if any(matches(pattern, tool, argument) for pattern in permissions.ask):
                return Permit("deny", args, "a person would have to be asked, which this release cannot do yet")
            return Permit("allow", args)

        return judged

    return make
