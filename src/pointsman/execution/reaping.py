"""Removes what attempts left behind whose worker was killed: looks at start and every minute at what there is on each target."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Sequence
from datetime import timedelta

import structlog

from pointsman.execution.lending import Runners
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.selecting import Catalogue
from pointsman.jobs import attempts
from pointsman.kit.db import Database
from pointsman.kit.problems import Problem

EVERY = timedelta(minutes=1)
_LONGEST = 60.0  # seconds for one target: another one's silence must not keep what is left here
_HANDLE = re.compile(r"pm-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d{1,9})")

log = structlog.get_logger()


class Reaper:
    """Of the targets of one pool, as seen from this worker."""

    def __init__(self, db: Database, catalogue: Catalogue, runners: Runners, worker_pool: str) -> None:
        self._db = db
        self._catalogue = catalogue
        self._runners = runners
        self._pool = worker_pool

    async def run(self) -> None:
        """Look at once, then every minute until cancelled."""
        while True:
            try:
                await self.run_once()
            except Problem as problem:
                log.warning("reaping.failed", error=problem.detail)
            await asyncio.sleep(EVERY.total_seconds())

    async def run_once(self) -> int:
        """How many sandboxes there were whose attempt is not running. Raises Unavailable."""
        targets = [target for target in await self._catalogue.targets() if target.worker_pool == self._pool]
        return sum(await asyncio.gather(*(self._reap(target) for target in targets)))

    async def _reap(self, target: ExecutionTarget) -> int:
        try:
            async with asyncio.timeout(_LONGEST), self._runners.lent(target) as runner:
                # Listed before the attempts are looked up: an attempt's row is there before its sandbox is.
                orphans = await self._orphans(await runner.list_handles())
                for handle in orphans:
                    await runner.reap(handle)
        except (Problem, TimeoutError) as error:
            log.warning("reaping.failed", target_id=target.id, error=str(error) or "it took too long")
            return 0
        if orphans:
            log.info("reaping.done", target_id=target.id, handles=orphans)
        return len(orphans)

    async def _orphans(self, handles: Sequence[str]) -> list[str]:
        named = {handle: attempt_of(handle) for handle in handles}
        known = [attempt for attempt in named.values() if attempt is not None]
        if not known:
            return []
        async with self._db.connection() as connection:
            running = await attempts.find_running(connection, known)
        return [handle for handle, attempt in named.items() if attempt is not None and attempt not in running]


def attempt_of(handle: str) -> tuple[uuid.UUID, int] | None:
    """The job and the epoch that a sandbox's name says; None for what is not ours."""
    found = _HANDLE.fullmatch(handle)
    return (uuid.UUID(found[1]), int(found[2])) if found else None
