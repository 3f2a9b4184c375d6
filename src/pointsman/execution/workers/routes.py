"""The route of workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from pointsman.execution.workers.schemas import WorkerRead
from pointsman.execution.workers.service import WorkerService
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["workers"])

WorkerVerbs = Annotated[WorkerService, Depends(provided(WorkerService))]


@router.get("/v2/workers")
async def list_workers(
    workers: WorkerVerbs,
    caller: Caller,
    worker_pool: Annotated[str | None, Query(max_length=255, description="Only those of this pool.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[WorkerRead]:
    """List the processes that do jobs, and what each has in hand."""
    return await workers.list_workers(caller, worker_pool=worker_pool, limit=limit, cursor=cursor)
