"""Routes of schedules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.schedules.schemas import FireRead, ScheduleCreate, SchedulePatch, ScheduleRead
from pointsman.schedules.service import ScheduleService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["schedules"])

ScheduleVerbs = Annotated[ScheduleService, Depends(provided(ScheduleService))]
OfSubject = Annotated[str | None, Query(max_length=255, description="Only those that ask this agent or team.")]


@router.post("/v2/schedules", status_code=201, responses={201: {"headers": LOCATION}})
async def create_schedule(body: ScheduleCreate, schedules: ScheduleVerbs, caller: Caller, response: Response) -> ScheduleRead:
    """Have an agent or a team asked by the clock; a deleted schedule comes back as now described."""
    schedule = await schedules.create_schedule(caller, body)
    response.headers["Location"] = f"/v2/schedules/{schedule.id}"
    return schedule


@router.get("/v2/schedules")
async def list_schedules(
    schedules: ScheduleVerbs, caller: Caller, subject_id: OfSubject = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[ScheduleRead]:
    """List schedules and when each comes next."""
    return await schedules.list_schedules(caller, subject_id=subject_id, limit=limit, cursor=cursor)


@router.get("/v2/schedules/{schedule_id}")
async def read_schedule(schedule_id: str, schedules: ScheduleVerbs, caller: Caller) -> ScheduleRead:
    """Read a schedule."""
    return await schedules.require_schedule(caller, schedule_id)


@router.get("/v2/schedules/{schedule_id}/fires")
async def list_fires(
    schedule_id: str, schedules: ScheduleVerbs, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[FireRead]:
    """List the times that came, newest first: the run of each, or why there is none."""
    return await schedules.list_fires(caller, schedule_id, limit=limit, cursor=cursor)


@router.patch("/v2/schedules/{schedule_id}")
async def update_schedule(schedule_id: str, body: SchedulePatch, schedules: ScheduleVerbs, caller: Caller) -> ScheduleRead:
    """Change, pause or take up a schedule; it is the changing key's from then on."""
    return await schedules.update_schedule(caller, schedule_id, body)


@router.delete("/v2/schedules/{schedule_id}", status_code=204)
async def delete_schedule(schedule_id: str, schedules: ScheduleVerbs, caller: Caller) -> None:
    """Delete a schedule; runs that it began go on."""
    await schedules.delete_schedule(caller, schedule_id)
