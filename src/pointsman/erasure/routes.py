"""Routes of exports and erasures; an export is streamed by plain Starlette."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from pointsman.erasure.schemas import ErasureRead
from pointsman.erasure.service import ErasureService
from pointsman.kit.ids import is_chosen_id
from pointsman.kit.problems import NotFound
from pointsman.web.deps import Caller, caller, provided, service
from pointsman.web.openapi import Answer, DescribedRoute, Operation

router = APIRouter(tags=["erasure"])

Erasures = Annotated[ErasureService, Depends(provided(ErasureService))]
ExportId = Annotated[str | None, Query(max_length=64, description="From the last line of an export of the last week.")]
WithoutExport = Annotated[bool, Query(description="Erase what was not exported.")]
_NDJSON = "application/x-ndjson"


@router.delete("/v2/users/{user_id}/data", status_code=202)
async def erase_user(
    erasures: Erasures, caller: Caller, user_id: str, export_id: ExportId = None, without_export: WithoutExport = False
) -> ErasureRead:
    """Truly erase all that a user said, made and caused; what was spent stays counted, for nobody. Repeatable."""
    return await erasures.erase_user(caller, _known(user_id), export_id=export_id, without_export=without_export)


@router.delete("/v2/tenants/{tenant_id}", status_code=202)
async def erase_tenant(
    erasures: Erasures, caller: Caller, tenant_id: str, export_id: ExportId = None, without_export: WithoutExport = False
) -> ErasureRead:
    """Revoke a tenant's keys and truly erase all that it has, its usage too. Repeatable."""
    return await erasures.erase_tenant(caller, _known(tenant_id), export_id=export_id, without_export=without_export)


@router.get("/v2/erasures/{erasure_id}")
async def read_erasure(erasures: Erasures, caller: Caller, erasure_id: str) -> ErasureRead:
    """Read how far an erasure is."""
    return await erasures.require_erasure(caller, erasure_id)


async def export_user(request: Request) -> StreamingResponse:
    """Everything that is kept of a user."""
    return _lines(service(request, ErasureService).export_user(caller(request), _known(request.path_params["user_id"])))


async def export_tenant(request: Request) -> StreamingResponse:
    """Everything that is kept of a tenant."""
    return _lines(service(request, ErasureService).export_tenant(caller(request), _known(request.path_params["tenant_id"])))


def _lines(lines: AsyncGenerator[bytes]) -> StreamingResponse:
    return StreamingResponse(lines, media_type=_NDJSON)


def _known(visible_id: str) -> str:
    """Whoever cannot have been named has left nothing; a slip in the id must not look like success."""
    if not is_chosen_id(visible_id):
        raise NotFound(f"{visible_id!r} is no id.")
    return visible_id


_ANSWERS = {200: Answer("Lines of JSON, each with `kind` and `data`; the last is of kind `end` and holds the `export_id`.", media=_NDJSON)}

routes = [
    DescribedRoute(
        "GET",
        "/v2/users/{user_id}/export",
        export_user,
        Operation(id="export_user", summary="Export everything that is kept of a user.", tag="erasure", answers=_ANSWERS),
    ),
    DescribedRoute(
        "GET",
        "/v2/tenants/{tenant_id}/export",
        export_tenant,
        Operation(id="export_tenant", summary="Export everything that is kept of a tenant.", tag="erasure", answers=_ANSWERS),
    ),
]
