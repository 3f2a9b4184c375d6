"""The routes of breakers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from pointsman.breakers.schemas import BreakerRead, State
from pointsman.breakers.service import BreakerService
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["breakers"])

BreakerVerbs = Annotated[BreakerService, Depends(provided(BreakerService))]


@router.get("/v2/breakers")
async def list_breakers(
    breakers: BreakerVerbs,
    caller: Caller,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BreakerRead]:
    """List the engines, targets and models that have failed, and what is left alone for now."""
    return await breakers.list_breakers(caller, state=state, limit=limit, cursor=cursor)


@router.post("/v2/breakers/{breaker_id}/reset")
async def reset_breaker(breakers: BreakerVerbs, caller: Caller, breaker_id: str) -> BreakerRead:
    """Close a breaker by hand; what it is about is tried again at once."""
    return await breakers.reset_breaker(caller, breaker_id)
