"""What the model calls of a job cost: a row of usage each, within the budgets of whoever the job is for."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.budgets.settling import count_settled
from pointsman.execution.ports import Work
from pointsman.jobs import events
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable
from pointsman.llm.port import ModelPort, Spend
from pointsman.usage.cost import cost_of
from pointsman.usage.ledger import UsageRow

RECORDED = "usage.recorded"
_CALLS_OF_AN_ATTEMPT = 100_000
_AWAY_PAUSE = 0.3
_LAST_MOMENT = 2.0


def account_of(job_id: str) -> str:
    """What the rows of usage and reservations of a job have in place of a run: its jobs are counted one by one."""
    return f"job_{job_id}"


@dataclass(slots=True)
class Spent:
    """What a job's model calls consumed so far, over all that its checkpoint knows of."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    cost: float | None = 0.0

    def add(self, spend: Spend, cost: Decimal | None) -> None:
        """Count one more call."""
        self.calls += 1
        self.prompt_tokens += spend.usage.prompt_tokens
        self.completion_tokens += spend.usage.completion_tokens
        self.is_estimated = self.is_estimated or spend.usage.is_estimated
        self.cost = None if self.cost is None or cost is None else self.cost + float(cost)

    def read(self) -> dict[str, Any]:
        """As a result has it."""
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "is_estimated": self.is_estimated,
            "cost": self.cost,
        }

    @classmethod
    def of(cls, read: dict[str, Any] | None) -> Spent:
        """From what `read` made."""
        return cls(**{name: value for name, value in (read or {}).items() if name != "total_tokens"})


class Spending:
    """The purse of one attempt."""

    def __init__(self, db: Database, budgets: Budgets, work: Work, spent: Spent | None = None, *, epoch: int | None = None) -> None:
        """`spent` is what earlier attempts of the job came to; `epoch` is of the attempt that calls are counted for, if not of this one."""
        self._db = db
        self._budgets = budgets
        self._work = work
        self._calls = (work.epoch if epoch is None else epoch) * _CALLS_OF_AN_ATTEMPT
        self.spent = spent or Spent()

    def around(self, models: ModelPort) -> ModelPort:
        """The models, each call within the budgets of tenant, user, key and worker agent."""
        work = self._work
        payer = Payer(work.tenant_id, work.agent_id or "", work.user_id, work.key_id)
        return self._budgets.around(models, payer, account_of(work.job_id), epoch=work.epoch)

    async def record(self, spends: Sequence[Spend]) -> None:
        """Write what a call came to, and give back what it held of budgets, however long the database is away."""
        rows = [self._row(spend) for spend in spends]
        while True:
            try:
                async with self._db.transaction() as connection:
                    await self._write(connection, rows)
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)
            else:
                return

    async def record_at_last(self, spends: Sequence[Spend]) -> None:
        """The same for an attempt that is told to end: a moment is all that it has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_MOMENT):
                await self.record(spends)

    async def _write(self, connection: Connection, rows: list[UsageRow]) -> None:
        account = account_of(self._work.job_id)
        if not rows and not self._budgets.owes(account):
            return
        # What a provider has been paid for is recorded whoever owns the job by now: no epoch stands in the way. A job has one call under
        # way at a time, so that whatever it holds of budgets belongs to this one. Repeated after a lost confirmation it counts nothing,
        # and tells nothing, twice.
        if await count_settled(connection, account, rows):
            await events.append(connection, uuid.UUID(self._work.job_id), [(RECORDED, row.event()) for row in rows])

    def _row(self, spend: Spend) -> UsageRow:
        work, cost = self._work, cost_of(spend.model, spend.usage)
        row = UsageRow(
            run_id=account_of(work.job_id),
            call=self._calls,
            agent_id=work.agent_id,
            session_id=None,
            user_id=work.user_id,
            key_id=work.key_id,
            tenant_id=work.tenant_id,
            spend=spend,
            cost=cost,
        )
        self._calls += 1
        self.spent.add(spend, cost)
        return row
