"""What a search or an indexing asks of providers: reserved of budgets before, and counted after, call by call."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Sequence

from pointsman.budgets.bounds import PER_CALL, Bound
from pointsman.budgets.metering import Budgets
from pointsman.budgets.rows import Payer
from pointsman.budgets.settling import count_settled
from pointsman.kit.db import Database
from pointsman.kit.ids import new_id
from pointsman.kit.problems import Unavailable
from pointsman.llm.port import ModelPort, Spend
from pointsman.usage.cost import cost_of
from pointsman.usage.ledger import UsageRow

_AGAIN = 0.3
_LONGEST_WAIT = 30.0  # for the database to be back; who asks has waited long enough by then
_BYTES_PER_TOKEN = 3  # of ordinary text; scripts whose letters are tokens have three bytes to a letter
_ORDERING = 2  # the epoch under which an account's calls of a chat model are reserved


class Account:
    """Has its own rows of usage in place of a run's; calls are numbered from 0, `epoch` keeps those of another attempt apart."""

    def __init__(self, db: Database, budgets: Budgets, payer: Payer, name: str, *, session_id: str | None = None) -> None:
        """`name` begins with `kno_`; only one call is under way at a time."""
        self._db = db
        self._budgets = budgets
        self._payer = payer
        self._name = name
        self._session_id = session_id
        self._calls = 0
        self._slot = 0

    @staticmethod
    def name_of_search() -> str:
        """A name for one search."""
        return new_id("kno")

    @staticmethod
    def name_of_indexing(entry_id: uuid.UUID, epoch: int) -> str:
        """A name for one attempt to index a file."""
        return f"kno_{entry_id.hex}_{epoch}"

    async def hold(self, model: str, texts: Sequence[str]) -> None:
        """Reserve an embedding of texts. Raises BudgetExhausted, BudgetUnpriced, Unavailable."""
        self._slot += 1
        prompt = math.ceil(sum(len(text.encode()) for text in texts) / _BYTES_PER_TOKEN) + PER_CALL
        await self._budgets.hold(self._payer, Bound((model,), prompt, 0), self._name, epoch=1, slot=self._slot)

    def around(self, models: ModelPort) -> ModelPort:
        """Models whose calls are reserved; `record` counts them."""
        return self._budgets.around(models, self._payer, self._name, epoch=_ORDERING)

    async def record(self, spends: Sequence[Spend]) -> None:
        """Count what a call came to, and give back what it held. Raises Unavailable when the database stays away."""
        rows = [self._row(call, spend) for call, spend in enumerate(spends, start=self._calls)]
        self._calls += len(rows)
        if not rows and not self._budgets.owes(self._name):
            return
        until = time.monotonic() + _LONGEST_WAIT
        while True:
            try:
                async with self._db.connection() as connection:
                    await count_settled(connection, self._name, rows)
            except Unavailable:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(_AGAIN)
            else:
                self._budgets.forget(self._name)
                return

    def _row(self, call: int, spend: Spend) -> UsageRow:
        payer = self._payer
        return UsageRow(
            run_id=self._name,
            call=call,
            agent_id=payer.agent_id or None,
            session_id=self._session_id,
            user_id=payer.user_id,
            key_id=payer.key_id,
            tenant_id=payer.tenant_id,
            spend=spend,
            cost=cost_of(spend.model, spend.usage),
        )
