"""The active budgets as this process knows them: at most a second old, read from the database only as far as something changed."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from pointsman.access import queries as access_queries
from pointsman.budgets import queries
from pointsman.budgets.rows import ActiveBudget, Payer
from pointsman.budgets.service import TOPIC
from pointsman.kit.db import Database

_MAX_AGE_SECONDS = 0.9
_RENEW_AFTER_SECONDS = 0.4  # read again in the background, so that under load no call waits for it
_ANSWER_WITHIN_SECONDS = 5
_MOST_KEYS = 10_000

log = structlog.get_logger()

_Subject = tuple[str, str, str]


class Hints(Protocol):
    """Where news of changes comes from; `kit.notify.Listener` is one."""

    def subscribe(self, topic: str, callback: Callable[[str | None], None], /) -> None: ...


class ActiveBudgets:
    """Which budgets apply to a payer. What is too old to say so is never used: whoever asks then waits for the database."""

    def __init__(self, db: Database, hints: Hints) -> None:
        self._db = db
        self._version = 0
        self._read_at = float("-inf")
        self._changes = 0
        self._reading: asyncio.Task[None] | None = None
        self._by_number: dict[int, ActiveBudget] = {}
        self._by_subject: dict[_Subject, tuple[ActiveBudget, ...]] = {}
        self._families: dict[int, int] = {}
        hints.subscribe(TOPIC, self.forget)

    def find(self, payer: Payer) -> tuple[ActiveBudget, ...] | None:
        """The budgets that apply, without waiting; None where the database has to be asked first, with `require`."""
        age = time.monotonic() - self._read_at
        if age > _MAX_AGE_SECONDS:
            return None
        if age > _RENEW_AFTER_SECONDS:
            self._read()
        if not self._by_subject:
            return ()
        family = self._families.get(payer.key_id) if payer.key_id is not None else 0
        return None if family is None else self._applying(payer, family)

    async def require(self, payer: Payer) -> tuple[ActiveBudget, ...]:
        """The budgets that apply. Raises Unavailable: a budget that fails open is none."""
        while (found := self.find(payer)) is None:
            if time.monotonic() - self._read_at > _MAX_AGE_SECONDS:
                # Shielded: the others who wait for this query must not be cancelled with the caller who happened to start it.
                await asyncio.shield(self._read())
            elif payer.key_id is not None:
                await self._learn_family(payer.key_id)
        return found

    def forget(self, number: str | None) -> None:
        """A budget has changed: what is known is too old at once. None: hints were missed, so that everything is read anew."""
        self._changes += 1
        self._reading = None
        self._read_at = float("-inf")
        if number is None:
            self._version = 0

    def _applying(self, payer: Payer, family: int) -> tuple[ActiveBudget, ...]:
        tenant, found = payer.tenant_id, self._by_subject.get
        applying = found(("agent", "", payer.agent_id), ()) + found(("key", "", str(family)), ())
        if tenant:
            applying += found(("agent", tenant, payer.agent_id), ()) + found(("tenant", "", tenant), ())
        if payer.user_id is not None:
            applying += found(("user", tenant, payer.user_id), ())
        return applying

    def _read(self) -> asyncio.Task[None]:
        if self._reading is None:
            task = self._reading = asyncio.create_task(self._read_changes())
            task.add_done_callback(self._was_read)
        return self._reading

    def _was_read(self, task: asyncio.Task[None]) -> None:
        if self._reading is task:
            self._reading = None
        if not task.cancelled() and task.exception() is not None:
            log.warning("budgets.not_read", error=type(task.exception()).__name__)

    async def _read_changes(self) -> None:
        # All are noted before the query: a change that commits while it is under way must not pass for seen.
        asked_at, changes, version = time.monotonic(), self._changes, self._version
        async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            changed = await queries.list_changed(connection, version)
        if changes != self._changes:
            return
        if version == 0:
            self._by_number.clear()
        for budget, is_active in changed:
            self._by_number.pop(budget.number, None)
            if is_active:
                self._by_number[budget.number] = budget
            self._version = budget.version
        if changed or version == 0:
            self._by_subject = _indexed(self._by_number.values())
        self._read_at = asked_at

    async def _learn_family(self, key_id: int) -> None:
        async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN_SECONDS):
            stored = await access_queries.find_key(connection, key_id, None)
        if len(self._families) >= _MOST_KEYS:
            del self._families[next(iter(self._families))]
        # It never changes. A key whose row is gone, as after an erasure, is its own family.
        self._families[key_id] = stored.family_id if stored else key_id


def _indexed(budgets: Iterable[ActiveBudget]) -> dict[_Subject, tuple[ActiveBudget, ...]]:
    index: defaultdict[_Subject, tuple[ActiveBudget, ...]] = defaultdict(tuple)
    for budget in budgets:
        match budget.subject_type:
            case "key":
                subject = ("key", "", str(budget.family_id))
            case "tenant":
                subject = ("tenant", "", budget.subject_id)
            case _:
                subject = (budget.subject_type, budget.tenant_id, budget.subject_id)
        index[subject] += (budget,)
    return dict(index)
