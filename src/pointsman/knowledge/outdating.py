"""Makes files outdated that another embedder than the configured one indexed, and current again where it is configured once more."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.knowledge import queries
from pointsman.knowledge.embedding import Embedding

_LOOK = 300.0
_MOST = 1000

log = structlog.get_logger()


class Outdating:
    """Compares what indexed each file with what would now, beside any number of other replicas."""

    def __init__(self, db: Database, embedding: Embedding) -> None:
        self._db = db
        self._embedding = embedding

    async def run(self) -> None:
        """Look at once and every few minutes, until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                if changed := await self.run_once():
                    log.info("knowledge.compared", files=changed)
            await asyncio.sleep(_LOOK)

    async def run_once(self) -> int:
        """How many files were changed. Raises Unavailable."""
        embedder = await self._embedding.find()
        total = 0
        while True:
            async with self._db.connection() as connection:
                changed = await queries.outdate(connection, None if embedder is None else embedder.identity, _MOST)
            total += changed
            if changed < _MOST:
                return total
