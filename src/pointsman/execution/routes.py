"""Routes of engines and targets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from pointsman.execution.rows import EngineType, TargetType
from pointsman.execution.schemas import (
    EngineCreate,
    EnginePatch,
    EngineRead,
    TargetCreate,
    TargetHealth,
    TargetPatch,
    TargetRead,
)
from pointsman.execution.service import EngineService, TargetService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter()

Engines = Annotated[EngineService, Depends(provided(EngineService))]
Targets = Annotated[TargetService, Depends(provided(TargetService))]
OfEngineType = Annotated[EngineType | None, Query(alias="type", description="Only engines of this type.")]
OfTargetType = Annotated[TargetType | None, Query(alias="type", description="Only targets of this type.")]
OfPool = Annotated[str | None, Query(max_length=255, description="Only targets of this pool.")]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]


@router.post("/v2/engines", tags=["engines"], status_code=201, response_model=EngineRead, responses={201: {"headers": LOCATION}})
async def create_engine(body: EngineCreate, engines: Engines, caller: Caller, response: Response) -> object:
    """Describe a way of doing work; a deleted engine comes back as now described."""
    engine = await engines.create_engine(caller, body)
    response.headers["Location"] = f"/v2/engines/{engine.id}"
    return EngineRead.model_validate(engine)


@router.get("/v2/engines", tags=["engines"], response_model=Page[EngineRead])
async def list_engines(
    engines: Engines, kind: OfEngineType = None, include_inactive: IncludeInactive = False, limit: Limit = 50, cursor: Cursor = None
) -> object:
    """List engines by id."""
    return await engines.list_engines(kind=kind, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/engines/{engine_id}", tags=["engines"], response_model=EngineRead)
async def get_engine(engine_id: str, engines: Engines) -> object:
    """Read an engine with its whole config."""
    return EngineRead.model_validate(await engines.require_engine(engine_id))


@router.patch("/v2/engines/{engine_id}", tags=["engines"], response_model=EngineRead)
async def update_engine(engine_id: str, body: EnginePatch, engines: Engines, caller: Caller) -> object:
    """Change an engine; the merge patch reaches into `handler_config`. Jobs that run go on as they began."""
    return EngineRead.model_validate(await engines.update_engine(caller, engine_id, body))


@router.delete("/v2/engines/{engine_id}", tags=["engines"], status_code=204)
async def delete_engine(engine_id: str, engines: Engines, caller: Caller) -> None:
    """Delete an engine: no further job uses it."""
    await engines.delete_engine(caller, engine_id)


@router.post("/v2/targets", tags=["targets"], status_code=201, response_model=TargetRead, responses={201: {"headers": LOCATION}})
async def create_target(body: TargetCreate, targets: Targets, caller: Caller, response: Response) -> object:
    """Describe a place for work; nothing connects to it. A deleted target comes back as now described."""
    target = await targets.create_target(caller, body)
    response.headers["Location"] = f"/v2/targets/{target.id}"
    return TargetRead.of(target, caller)


@router.get("/v2/targets", tags=["targets"], response_model=Page[TargetRead])
async def list_targets(
    targets: Targets,
    caller: Caller,
    kind: OfTargetType = None,
    worker_pool: OfPool = None,
    include_inactive: IncludeInactive = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> object:
    """List targets by id."""
    return await targets.list_targets(
        caller, kind=kind, worker_pool=worker_pool, include_inactive=include_inactive, limit=limit, cursor=cursor
    )


@router.get("/v2/targets/{target_id}", tags=["targets"], response_model=TargetRead)
async def get_target(target_id: str, targets: Targets, caller: Caller) -> object:
    """Read a target; secrets stand in it by name only."""
    return TargetRead.of(await targets.require_target(target_id), caller)


@router.patch("/v2/targets/{target_id}", tags=["targets"], response_model=TargetRead)
async def update_target(target_id: str, body: TargetPatch, targets: Targets, caller: Caller) -> object:
    """Change a target; the merge patch reaches into `connection_config` and `capacity`. Jobs that run go on as they began."""
    return TargetRead.of(await targets.update_target(caller, target_id, body), caller)


@router.delete("/v2/targets/{target_id}", tags=["targets"], status_code=204)
async def delete_target(target_id: str, targets: Targets, caller: Caller) -> None:
    """Delete a target: no further job goes there."""
    await targets.delete_target(caller, target_id)


@router.get("/v2/targets/{target_id}/health", tags=["targets"])
async def check_target(target_id: str, targets: Targets) -> TargetHealth:
    """Really use the target, and say how that went; an unhealthy one is an answer too."""
    return TargetHealth.of(await targets.check_target(target_id))
