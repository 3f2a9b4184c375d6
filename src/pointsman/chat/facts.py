"""What a run is, what it has spent, and how it ended: values that whoever drives or waits for it shares."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from pointsman.chat.journal import Status
from pointsman.chat.schemas import UsageRead
from pointsman.kit.db import Record
from pointsman.kit.problems import Problem
from pointsman.llm.port import Spend


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run is, whoever drives it."""

    id: str
    tenant_id: str
    agent_id: str
    session_id: str
    user_id: str | None
    key_id: int | None
    model: str


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the JSON of its answer, and the problem if it failed."""

    status: Status
    body: bytes
    problem: Problem | None = None


def facts_of(row: Record) -> RunFacts:
    """The facts of a run's row, which does not know the model yet."""
    return RunFacts(row["id"], row["tenant_id"], row["subject"], row["session_id"], row["user_id"], row["key_id"], "")
