"""Group read: rows that are asked for while a query is under way come together by the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from pointsman.kit.db import Connection, Database

Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row")
Read = Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Row]]]


class _Batch(Generic[Key, Row]):
    """Keys that one query will read; it takes more until the query is sent."""

    __slots__ = ("keys", "sent", "task")

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.sent = False
        self.task: asyncio.Task[Mapping[Key, Row]]


class GroupRead(Generic[Key, Row]):
    """Reads rows by key, many readers to a query.

    Nobody joins a query that has been sent, so each reader sees everything that was committed before it asked.
    """

    def __init__(self, db: Database, read: Read[Key, Row]) -> None:
        """Make one; `read` gives the rows of those keys that exist."""
        self._db = db
        self._read = read
        self._last: _Batch[Key, Row] | None = None

    async def find(self, key: Key) -> Row | None:
        """The row, None where there is none. Raises Unavailable."""
        batch = self._join()
        batch.keys.add(key)
        # Shielded: a reader that leaves must not take along the others of its query.
        return (await asyncio.shield(batch.task)).get(key)

    def _join(self) -> _Batch[Key, Row]:
        last = self._last
        if last is not None and not last.sent and not last.task.done():
            return last
        batch = self._last = _Batch[Key, Row]()
        batch.task = asyncio.create_task(self._query(batch, last))
        return batch

    async def _query(self, batch: _Batch[Key, Row], last: _Batch[Key, Row] | None) -> Mapping[Key, Row]:
        if last is not None and not last.task.done():
            await asyncio.wait([last.task])
        async with self._db.connection() as connection:
            batch.sent = True
            return await self._read(connection, list(batch.keys))
