"""The maintenance loop that deletes what is out of date: small batches, each followed by a rest, one replica at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.retention import queries
from pointsman.retention.kinds import Batch, Swept

log = structlog.get_logger()

_LAP = timedelta(minutes=5)  # until a kind that was swept to its end is looked at again
_IDLE = 5.0
_SHARE = 4  # a batch is followed by a rest of this many times its length: a fifth of one connection at most
_LEAST_REST = 0.05
_LONGEST = timedelta(seconds=5)  # a statement of a batch; one that takes longer is undone and made smaller
_SMALLEST = 10


class Sweeper:
    """Every process may run one; the lock and the marks in the database let one at a time do a batch, and none twice.

    Nothing is remembered but a guess of how many rows a batch can take, so a process may die at any time.
    """

    def __init__(
        self, db: Database, kinds: Mapping[str, Batch], *, deleted: Callable[[str, int], None], batch: int = 500, idle: float = _IDLE
    ) -> None:
        """Make one; `deleted` is told of each committed batch: the kind, and how many rows are gone. `idle` is in seconds."""
        self._db = db
        self._kinds = kinds
        self._deleted = deleted
        self._batch = self._most = batch
        self._idle = idle

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set; a database that is away or busy is waited for."""
        while not stop.is_set():
            rest = self._idle
            try:
                spent = await self.run_once()
            except Unavailable:
                self._most = max(_SMALLEST, self._most // 2)
                log.warning("retention.batch_undone", next_batch=self._most)
            else:
                if spent is not None:
                    self._most = min(self._batch, self._most * 2)
                    rest = _rest(spent)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), rest)

    async def run_once(self) -> float | None:
        """One batch of the kind that is due; its length in seconds, None when nothing is due or another replica is at it."""
        began = time.monotonic()
        async with self._db.transaction() as connection:
            if not await queries.begin_batch(connection, _LONGEST):
                return None
            # Only after the lock: whoever held it before has committed, and this statement sees its mark.
            due = await queries.find_due(connection, list(self._kinds))
            if due is None:
                return None
            kind = due["kind"]
            swept = await self._kinds[kind](connection, _place(due["place"]), self._most)
            spent = time.monotonic() - began
            rest = timedelta(seconds=_rest(spent))
            await queries.store_mark(connection, kind, _stored(swept), rest=rest if swept.more else _LAP, pause=rest)
        if swept.rows:
            self._deleted(kind, swept.rows)
        return spent


def _rest(spent: float) -> float:
    return max(_LEAST_REST, spent * _SHARE)


def _place(stored: str | None) -> Any:
    return None if stored is None else msgspec.json.decode(stored)


def _stored(swept: Swept) -> str | None:
    return None if swept.place is None else msgspec.json.encode(swept.place).decode()
