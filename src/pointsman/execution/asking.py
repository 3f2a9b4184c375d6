"""Whether a tool may be called within a job: what its worker's permissions say, and what a person has decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pointsman.approvals import owners, queries
from pointsman.approvals.deciding import told
from pointsman.approvals.permissions import Rules
from pointsman.approvals.rows import Approval, Asking, RiskLevel
from pointsman.approvals.service import ask
from pointsman.execution.attempt import Ask, MakeAsk
from pointsman.execution.ports import Permit
from pointsman.jobs.rows import Waiting
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection, Database
from pointsman.runs.events import APPROVAL_REQUESTED

_RISKS: dict[str, RiskLevel] = {"low": "low", "medium": "medium", "high": "high"}


def asker(db: Database, ttl: timedelta) -> MakeAsk:
    """How permits are judged in this installation; `ttl` is how long a person has to decide."""

    def make(job: Waiting, worker: WorkerConfig) -> Ask:
        rules = Rules.of(worker)

        async def judged(call_id: str, tool: str, argument: str, args: dict[str, Any]) -> Permit:
            verdict, because = rules.judge(tool, argument)
            if verdict != "ask":
                return Permit(verdict, args, f"permissions: {because}" if because else "")
            asking = _asking(job, rules, call_id, tool, args, because)
            async with db.transaction() as connection:
                approval = await _ask(connection, asking, ttl)
            return _permit(approval, asking)

        return judged

    return make


async def settled(connection: Connection, job_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the jobs for which nobody has to decide anything any more."""
    waiting = await queries.list_waiting_jobs(connection, job_ids)
    return [job_id for job_id in job_ids if job_id not in waiting]


def _asking(job: Waiting, rules: Rules, call_id: str, tool: str, args: dict[str, Any], because: str) -> Asking:
    return Asking(
        tenant_id=job.tenant_id,
        user_id=job.user_id,
        key_id=job.key_id,
        run_id=job.run_id,
        job_id=job.id,
        step=job.life,
        call_id=call_id,
        tool_name=tool,
        tool_args=args,
        rules=rules,
        risk_level=_RISKS.get(job.risk_level or "", "medium"),
        reason=f"permissions.ask has {because}" if because in rules.ask else because,
    )


async def _ask(connection: Connection, asking: Asking, ttl: timedelta) -> Approval:
    found = await queries.find_for_call(connection, run_id=None, job_id=asking.job_id, step=asking.step, call_id=asking.call_id)
    if found is not None:
        return found
    approval = await ask(connection, asking, ttl)
    await owners.tell(connection, approval, APPROVAL_REQUESTED, told(approval))
    return approval


def _permit(approval: Approval, asking: Asking) -> Permit:
    """A decision is about the arguments that were shown, and about no others."""
    if approval.args_sha256 != asking.args_sha256:
        return Permit("deny", asking.tool_args, "its arguments are not those that were asked about", approval.id)
    match approval.status:
        case "pending":
            return Permit("ask", asking.tool_args, asking.reason, approval.id)
        case "approved":
            return Permit("allow", approval.args, approval.note or "", approval.id)
        case status:
            note = f": {approval.note}" if approval.note else ""
            return Permit("deny", asking.tool_args, f"the approval is {status}{note}", approval.id)
