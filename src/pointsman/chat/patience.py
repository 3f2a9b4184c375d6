"""Reading what an open run needs: while the database is away it waits, as its writes do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

T = TypeVar("T")

_AWAY_PAUSE = 0.2


async def patiently(db: Database, read: Callable[[Connection], Awaitable[T]]) -> T:
    """What `read` says, once the database is there."""
    while True:
        try:
            async with db.connection() as connection:
                return await read(connection)
        except Unavailable:
            await asyncio.sleep(_AWAY_PAUSE)
