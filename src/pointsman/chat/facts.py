"""What a run is, what it has spent, and how it ended: values that whoever drives or waits for it shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pointsman.chat.journal import Status
from pointsman.chat.schemas import TeamUsage, UsageRead
from pointsman.kit.db import Record
from pointsman.kit.problems import Problem
from pointsman.llm.port import Spend


@dataclass(frozen=True, slots=True)
class Parent:
    """The run of the team whose leader gave the task, and its session."""

    run_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run is, whoever drives it. `agent_id` is who speaks: of a team's run its leader; `parent` is that of a member's run."""

    id: str
    tenant_id: str
    agent_id: str
    session_id: str
    user_id: str | None
    key_id: int | None
    model: str
    team_id: str | None = None
    parent: Parent | None = None

    @property
    def kind(self) -> Literal["chat", "team"]:
        """What sort of run it is."""
        return "chat" if self.team_id is None else "team"

    @property
    def subject(self) -> str:
        """Who was asked: an agent or a team."""
        return self.agent_id if self.team_id is None else self.team_id

    @property
    def billed_session(self) -> str:
        """The session whose usage it is: what members spend is their team's."""
        return self.session_id if self.parent is None else self.parent.session_id


@dataclass(slots=True)
class Spent:
    """What the run's model calls consumed so far; `calls` numbers the next one."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    cost: Decimal | None = Decimal(0)

    def add(self, spend: Spend, cost: Decimal | None) -> None:
        """Count one more call."""
        self.calls += 1
        self.prompt_tokens += spend.usage.prompt_tokens
        self.completion_tokens += spend.usage.completion_tokens
        self.is_estimated = self.is_estimated or spend.usage.is_estimated
        self.cost = None if self.cost is None or cost is None else self.cost + cost

    def read(self) -> UsageRead:
        """On the wire."""
        total = self.prompt_tokens + self.completion_tokens
        cost = None if self.cost is None else float(self.cost)
        return UsageRead(self.prompt_tokens, self.completion_tokens, total, self.is_estimated, cost)


def together(spent: Mapping[str, Spent]) -> TeamUsage:
    """What the agents of a team have spent, as one sum and by agent."""
    parts = {agent: one.read() for agent, one in spent.items()}
    prompt, completion = sum(part.prompt_tokens for part in parts.values()), sum(part.completion_tokens for part in parts.values())
    cost = None if any(one.cost is None for one in spent.values()) else float(sum(one.cost or Decimal(0) for one in spent.values()))
    return TeamUsage(prompt, completion, prompt + completion, any(part.is_estimated for part in parts.values()), cost, parts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the JSON of its answer, and the problem if it failed."""

    status: Status
    body: bytes
    problem: Problem | None = None


def spent_of(row: Record) -> Spent:
    """A row with sums of model calls."""
    return Spent(row["calls"], row["prompt_tokens"], row["completion_tokens"], row["is_estimated"], row["cost"])


def facts_of(row: Record) -> RunFacts:
    """The facts of a run's row, which does not know the model yet, nor who leads the team."""
    team_id = row["subject"] if row["kind"] == "team" else None
    parent = None if row["parent_run_id"] is None else Parent(row["parent_run_id"], row["parent_session_id"] or row["session_id"])
    agent_id = "" if team_id else row["subject"]
    return RunFacts(row["id"], row["tenant_id"], agent_id, row["session_id"], row["user_id"], row["key_id"], "", team_id, parent)
