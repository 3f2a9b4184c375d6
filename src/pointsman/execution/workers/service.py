"""Lists workers."""

from __future__ import annotations

from datetime import timedelta

from pointsman.execution.workers import queries
from pointsman.execution.workers.schemas import WorkerRead
from pointsman.kit.db import Database
from pointsman.kit.principal import Principal
from pointsman.web.paging import Page, decode_cursor, page_of

SILENT_AFTER = timedelta(seconds=15)


class WorkerService:
    """The workers of this installation."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_workers(self, principal: Principal, *, worker_pool: str | None, limit: int, cursor: str | None) -> Page[WorkerRead]:
        """By id, which is by age."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_workers(
                connection,
                tenant=principal.visible_tenant,
                worker_pool=worker_pool,
                silent_after=SILENT_AFTER,
                after=key[0] if key else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, WorkerRead.of, lambda row: (row["id"],))
