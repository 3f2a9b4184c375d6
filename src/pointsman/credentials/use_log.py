"""Keeps on record for whom, in which run and by which tool each credential was used, without letting the tool wait for it."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import structlog

from pointsman.credentials import use_queries
from pointsman.credentials.using import Use
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable

_INTERVAL = 0.05
_PAUSE = 1.0
_BATCH = 500
_MOST = 20_000
_ANSWER_WITHIN = 5.0

log = structlog.get_logger()


class UseLog:
    """Stores uses a twentieth of a second after they were noted. Keep `run` going beside it, and `flush` once more in the end."""

    def __init__(self, db: Database, *, most: int = _MOST) -> None:
        """Make one; `most` is how many may wait while the database is away."""
        self._db = db
        self._most = most
        self._pending: list[tuple[Use, float]] = []
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()

    def note(self, use: Use) -> None:
        """Log it at once and store it soon. Raises Unavailable where too many wait: no credential is used off the record."""
        if len(self._pending) >= self._most:
            raise Unavailable("Too many uses of credentials wait for the database.", hint="Retry in a moment.", retry_after=2)
        log.info(
            "credential.used",
            tenant_id=use.tenant_id,
            user_id=use.user_id,
            integration_key=use.integration_key,
            provider=use.provider,
            run_id=use.run_id,
            tool=use.tool,
        )
        self._pending.append((use, time.monotonic()))
        self._wake.set()

    async def run(self) -> None:
        """Store until cancelled; while the database is away they are kept."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_INTERVAL)
            try:
                await self.flush()
            except Unavailable as problem:
                log.warning("credential.uses_not_stored", waiting=len(self._pending), why=problem.detail)
                await asyncio.sleep(_PAUSE)
                self._wake.set()

    async def flush(self) -> None:
        """Store what waits; what could not be stored waits on. Raises Unavailable."""
        async with self._flushing:
            self._wake.clear()
            while batch := self._pending[:_BATCH]:
                await self._store(batch)
                del self._pending[: len(batch)]

    async def _store(self, batch: list[tuple[Use, float]]) -> None:
        now = time.monotonic()
        try:
            async with self._db.connection() as connection, asyncio.timeout(_ANSWER_WITHIN):
                await use_queries.insert_uses(connection, [(use, now - at) for use, at in batch])
        except (TimeoutError, asyncpg.PostgresError) as error:  # a server that is full or read-only for a while
            raise Unavailable(f"The database did not take it: {type(error).__name__}.") from error
