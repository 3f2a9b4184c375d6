"""The hourly limit of a key family: never exceeded, whatever the number of replicas and however they die (G13)."""

from __future__ import annotations

import asyncio
import math
import time
from typing import NamedTuple

from pointsman.access.authenticate import AuthenticatedKey
from pointsman.access.errors import RateLimited
from pointsman.access.queries import OPEN_WINDOW, TAKE_FROM_WINDOW
from pointsman.access.rate import RateState, headers
from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database, Record

__all__ = ["HourlyLimit", "RateState", "headers"]

_ANSWER_WITHIN_SECONDS = 5
_MOST_REMEMBERED = 10_000


_COUNTING = failpoints.declare("limits.count", "Requests of a key with an hourly limit are counted, before they are let in.")


class _Budget(NamedTuple):
    """What is counted together: a rotated key and its successor share the family, but either may have a limit of its own by now."""

    family_id: int
    limit: int


class _Taken(NamedTuple):
    """The answer to one statement: how many of its requests pass, how many were used before them, when the window ends."""

    granted: int
    used_before: int
    reset_at: float


class _Batch:
    """Requests that are counted by one statement; it takes more until that statement is sent."""

    __slots__ = ("closed", "size", "task")

    def __init__(self) -> None:
        self.size = 0
        self.closed = False
        self.task: asyncio.Task[_Taken]


class _Spent(NamedTuple):
    used: int
    until: float


class HourlyLimit:
    """Counts requests in the database before they are let in, so that a killed process can only have let in fewer than it counted."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._batches: dict[_Budget, _Batch] = {}
        self._spent: dict[int, _Spent] = {}

    async def admit(self, key: AuthenticatedKey) -> RateState | None:
        """Count one request; None without a limit.

        Raises RateLimited when the hour is used up, and Unavailable when it cannot be counted: a limit that fails open is none.
        """
        if key.rate_limit == 0:
            return None
        budget = _Budget(key.family_id, key.rate_limit)
        if spent := self._find_spent(budget):
            raise RateLimited(_state(budget.limit, spent.used, spent.until))
        return await self._take(budget)

    async def _take(self, budget: _Budget) -> RateState:
        batch = self._join(budget)
        place = batch.size
        batch.size += 1
        # Shielded: a client that leaves must not take along the others that share its statement.
        taken = await asyncio.shield(batch.task)
        if place >= taken.granted:
            raise RateLimited(_state(budget.limit, taken.used_before + taken.granted, taken.reset_at))
        return _state(budget.limit, taken.used_before + place + 1, taken.reset_at)

    def _join(self, budget: _Budget) -> _Batch:
        last = self._batches.get(budget)
        if last is not None and not last.closed:
            return last
        batch = self._batches[budget] = _Batch()
        batch.task = asyncio.create_task(self._settle(budget, batch, last))
        return batch

    async def _settle(self, budget: _Budget, batch: _Batch, last: _Batch | None) -> _Taken:
        if last is not None:
            await asyncio.wait([last.task])
        batch.closed = True
        try:
            if spent := self._find_spent(budget):
                return _Taken(0, spent.used, spent.until)
            taken = await self._count(budget, batch.size)
            self._remember(budget, taken)
            return taken
        finally:
            if self._batches.get(budget) is batch:
                del self._batches[budget]

    async def _count(self, budget: _Budget, requests: int) -> _Taken:
        # The clock is read before the statement: a window then seems to end early rather than late, and the database decides.
        before = time.monotonic()
        async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            row = await failpoints.around((_COUNTING,), connection, lambda: _take_from(connection, budget, requests))
        return _Taken(row["granted"], row["used_before"], before + row["resets_in"])

    def _find_spent(self, budget: _Budget) -> _Spent | None:
        spent = self._spent.get(budget.family_id)
        if spent is None or spent.used < budget.limit:
            return None
        if spent.until > time.monotonic():
            return spent
        del self._spent[budget.family_id]
        return None

    def _remember(self, budget: _Budget, taken: _Taken) -> None:
        used = taken.used_before + taken.granted
        if used < budget.limit:
            return
        self._spent.pop(budget.family_id, None)
        if len(self._spent) >= _MOST_REMEMBERED:
            del self._spent[next(iter(self._spent))]
        self._spent[budget.family_id] = _Spent(used, taken.reset_at)


async def _take_from(connection: Connection, budget: _Budget, requests: int) -> Record:
    row = None
    while row is None:
        row = await connection.fetchrow(TAKE_FROM_WINDOW, budget.family_id, budget.limit, requests)
        # No row: the family's very first request. Of several replicas one opens the window, the others then find it.
        row = row or await connection.fetchrow(OPEN_WINDOW, budget.family_id, budget.limit, requests)
    return row


def _state(limit: int, used: int, reset_at: float) -> RateState:
    return RateState(limit, max(0, limit - used), max(1, math.ceil(reset_at - time.monotonic())))
