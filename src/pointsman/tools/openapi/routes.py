"""Routes of OpenAPI tools."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from pointsman.tools.openapi.schemas import OpenApiToolsCreate, OpenApiToolsItem, OpenApiToolsPatch, OpenApiToolsRead
from pointsman.tools.openapi.service import OpenApiToolsService
from pointsman.web.deps import Caller, provided
from pointsman.web.openapi import LOCATION
from pointsman.web.paging import Cursor, Limit, Page

router = APIRouter(tags=["tools"])

Tools = Annotated[OpenApiToolsService, Depends(provided(OpenApiToolsService))]
IncludeInactive = Annotated[bool, Query(description="Deleted ones too.")]


@router.post("/v2/openapi-tools", status_code=201, response_model=OpenApiToolsRead, responses={201: {"headers": LOCATION}})
async def create_openapi_tools(body: OpenApiToolsCreate, tools: Tools, caller: Caller, response: Response) -> object:
    """Register an OpenAPI document, and make tools of chosen operations. Nothing is connected to."""
    made = await tools.create_tools(caller, body)
    response.headers["Location"] = f"/v2/openapi-tools/{made.id}"
    return OpenApiToolsRead.of(made, caller)


@router.get("/v2/openapi-tools", response_model=Page[OpenApiToolsItem])
async def list_openapi_tools(
    tools: Tools, caller: Caller, include_inactive: IncludeInactive = False, limit: Limit = 50, cursor: Cursor = None
) -> object:
    """List registrations by id, without their tools."""
    return await tools.list_tools(caller, include_inactive=include_inactive, limit=limit, cursor=cursor)


@router.get("/v2/openapi-tools/{tools_id}", response_model=OpenApiToolsRead)
async def get_openapi_tools(tools_id: str, tools: Tools, caller: Caller) -> object:
    """Read a registration with its tools."""
    return OpenApiToolsRead.of(await tools.require_tools(tools_id), caller)


@router.get("/v2/openapi-tools/{tools_id}/document")
async def get_openapi_document(tools_id: str, tools: Tools) -> dict[str, Any]:
    """Read the document of a registration."""
    return await tools.require_document(tools_id)


@router.patch("/v2/openapi-tools/{tools_id}", response_model=OpenApiToolsRead)
async def update_openapi_tools(tools_id: str, body: OpenApiToolsPatch, tools: Tools, caller: Caller) -> object:
    """Change a registration; the merge patch reaches into `headers`. Tools are made anew of what is there then."""
    return OpenApiToolsRead.of(await tools.update_tools(caller, tools_id, body), caller)


@router.delete("/v2/openapi-tools/{tools_id}", status_code=204)
async def delete_openapi_tools(tools_id: str, tools: Tools, caller: Caller) -> None:
    """Delete a registration: agents that list it cannot run until it is back, or taken out of them."""
    await tools.delete_tools(caller, tools_id)
