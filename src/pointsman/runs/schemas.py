"""Runs on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pointsman.web.wire import Body, Moment, Read

RunKind = Literal["chat", "team", "supervised"]
RunStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]


class RunUsage(Read):
    """Tokens and cost in US dollars of all model calls of a run; cost is null where a price is unknown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    is_estimated: bool
    cost: float | None


class RunSupervisor(Read):
    """What a supervised run was classified as, and the jobs that it came to, in order; null until the leader has classified it."""

    supervisor_run_id: str
    classification: str | None
    worker_agent_id: str | None
    execution_engine: str | None
    risk_level: str | None
    jobs: list[str]


class TeamRunUsage(RunUsage):
    """The same for a team's run, with the part of each agent, the leader's among them."""

    members: dict[str, RunUsage]


class RunRead(Read):
    """A run."""

    id: str
    kind: RunKind
    subject: str
    status: RunStatus
    tenant_id: str | None
    session_id: str
    parent_run_id: str | None
    user_id: str | None
    key_id: int | None
    created_at: Moment
    completed_at: Moment | None
    request: dict[str, Any]
    model: str | None
    content: str | None
    output: Any = None
    usage: TeamRunUsage | RunUsage | None
    error: dict[str, Any] | None
    supervisor: RunSupervisor | None = None


class RunDecision(Body):
    """A decision about what a paused run asks for."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="Of the approval.")
    decision: Literal["approve", "deny"]
    note: Annotated[str, StringConstraints(max_length=2000)] | None = None
    args: dict[str, Any] | None = Field(default=None, description="Edited arguments; only with an approval.")


class ResumeBody(Body):
    """What lets a paused run go on; an interrupted one needs nothing."""

    approvals: list[RunDecision] = Field(default_factory=list[RunDecision], max_length=128)
