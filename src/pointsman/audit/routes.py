"""The HTTP face of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from pointsman.audit.schemas import AuditEntryRead, VerdictRead
from pointsman.audit.service import AuditService
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.wire import GivenMoment

router = APIRouter(tags=["audit"])

Audit = Annotated[AuditService, Depends(provided(AuditService))]


@router.get("/v2/audit")
async def list_entries(
    caller: Caller,
    audit: Audit,
    action: Annotated[str | None, Query(max_length=100, description="Only this action, such as `key.created`.")] = None,
    object_type: Annotated[str | None, Query(max_length=50, description="Only changes of such objects, such as `agent`.")] = None,
    object_id: Annotated[str | None, Query(max_length=600, description="Only changes of the object with this id.")] = None,
    key_id: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only what this key did.")] = None,
    since: Annotated[GivenMoment | None, Query(alias="from", description="Not older than this.")] = None,
    until: Annotated[GivenMoment | None, Query(alias="to", description="Older than this.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditEntryRead]:
    """Changes that the caller may see, newest first."""
    return await audit.list_entries(
        caller,
        action=action,
        object_type=object_type,
        object_id=object_id,
        key_id=key_id,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )


@router.get("/v2/audit/verify")
async def verify(caller: Caller, audit: Audit) -> VerdictRead:
    """Check the whole hash chain for entries that were changed, removed, inserted or moved."""
    return VerdictRead.of(await audit.verify(caller))
