"""Routes of budgets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.budgets.rows import SubjectType
from pointsman.budgets.schemas import BudgetCreate, BudgetPatch, BudgetRead
from pointsman.budgets.service import BudgetService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["budgets"])

BudgetVerbs = Annotated[BudgetService, Depends(provided(BudgetService))]
OfType = Annotated[SubjectType | None, Query(description="Only those of keys, tenants, users or agents.")]
OfSubject = Annotated[str | None, Query(max_length=255, description="Only those of this key, tenant, user or agent.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]


@router.post("/v2/budgets", status_code=201, responses={201: {"headers": LOCATION}})
async def create_budget(body: BudgetCreate, budgets: BudgetVerbs, caller: Caller, response: Response) -> BudgetRead:
    """Limit what a key, tenant, user or agent may spend in a day or a month; a deleted budget comes back as now described."""
    budget = await budgets.create_budget(caller, body)
    response.headers["Location"] = f"/v2/budgets/{budget.id}"
    return BudgetRead.of(budget)


@router.get("/v2/budgets")
async def list_budgets(
    budgets: BudgetVerbs,
    caller: Caller,
    subject_type: OfType = None,
    subject_id: OfSubject = None,
    include_inactive: IncludeInactive = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BudgetRead]:
    """List budgets and where each stands, newest first."""
    return await budgets.list_budgets(
        caller, subject_type=subject_type, subject_id=subject_id, include_inactive=include_inactive, limit=limit, cursor=cursor
    )


@router.get("/v2/budgets/{budget_id}")
async def read_budget(budget_id: str, budgets: BudgetVerbs, caller: Caller) -> BudgetRead:
    """Read a budget: what is spent, what calls under way hold, what is left and when it begins anew."""
    return BudgetRead.of(await budgets.require_budget(caller, budget_id))


@router.patch("/v2/budgets/{budget_id}")
async def update_budget(budget_id: str, body: BudgetPatch, budgets: BudgetVerbs, caller: Caller) -> BudgetRead:
    """Raise or lower a budget, or name it; it takes effect within a second."""
    return BudgetRead.of(await budgets.update_budget(caller, budget_id, body))


@router.delete("/v2/budgets/{budget_id}", status_code=204)
async def delete_budget(budget_id: str, budgets: BudgetVerbs, caller: Caller) -> None:
    """Delete a budget: it limits nothing any more."""
    await budgets.delete_budget(caller, budget_id)
