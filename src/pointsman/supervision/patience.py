"""Reading for a run that is under way: while the database is away it waits, as the run's writes do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

T = TypeVar("T")

AWAY_PAUSE = 0.2


async def patiently(db: Database, work: Callable[[Connection], Awaitable[T]]) -> T:
    """What `work` gives, which must be safe to repeat, however long it takes the database to come back."""
    while True:
        try:
            async with db.connection() as connection:
                return await work(connection)
        except Unavailable:
            await asyncio.sleep(AWAY_PAUSE)
