"""Routes of approvals."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query

from pointsman.approvals.link_service import LinkService
from pointsman.approvals.rows import Status
from pointsman.approvals.schemas import ApprovalRead, DecisionBody, LinksRead
from pointsman.approvals.service import ApprovalService
from pointsman.web.deps import Caller, provided
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["approvals"])

Approvals = Annotated[ApprovalService, Depends(provided(ApprovalService))]
Links = Annotated[LinkService, Depends(provided(LinkService))]
WithStatus = Annotated[Status | None, Query(description="Only those that are so now.")]
OfRun = Annotated[str | None, Query(max_length=255, description="Only those of this run.")]
OfJob = Annotated[UUID | None, Query(description="Only those of this job.")]
Decision = Annotated[DecisionBody | None, Body()]


@router.get("/v2/approvals")
async def list_approvals(
    approvals: Approvals,
    caller: Caller,
    status: WithStatus = None,
    run_id: OfRun = None,
    job_id: OfJob = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ApprovalRead]:
    """List approvals, newest first."""
    return await approvals.list_approvals(caller, status=status, run_id=run_id, job_id=job_id, limit=limit, cursor=cursor)


@router.get("/v2/approvals/{approval_id}")
async def read_approval(approvals: Approvals, caller: Caller, approval_id: str) -> ApprovalRead:
    """Read an approval: what would be called with which arguments, and what was decided."""
    return ApprovalRead.of(await approvals.require_approval(caller, approval_id))


@router.post("/v2/approvals/{approval_id}/approve")
async def approve(approvals: Approvals, caller: Caller, approval_id: str, body: Decision = None) -> ApprovalRead:
    """Let the call be made, with the arguments that were shown or with edited ones; the first decision counts."""
    given = body or DecisionBody()
    return ApprovalRead.of(await approvals.decide(caller, approval_id, "approve", note=given.note, args=given.args))


@router.post("/v2/approvals/{approval_id}/deny")
async def deny(approvals: Approvals, caller: Caller, approval_id: str, body: Decision = None) -> ApprovalRead:
    """Forbid the call; whoever asked is told why. The first decision counts."""
    given = body or DecisionBody()
    return ApprovalRead.of(await approvals.decide(caller, approval_id, "deny", note=given.note, args=given.args))


@router.post("/v2/approvals/{approval_id}/links")
async def make_links(links: Links, caller: Caller, approval_id: str) -> LinksRead:
    """Signed links with which whoever is sent one decides without a key, where the operator has enabled them."""
    return await links.make(caller, approval_id)
