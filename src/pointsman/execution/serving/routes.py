"""Routes of the runner API."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from starlette.requests import Request
from starlette.responses import Response as PlainResponse

from pointsman.execution.schemas import TargetHealth
from pointsman.execution.serving.desk import RunnerDesk
from pointsman.execution.serving.schemas import Command, SandboxCreate, SandboxHandles, SandboxRead
from pointsman.kit.ids import ChosenId
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.web.deps import Caller, caller, provided, service
from pointsman.web.openapi import LOCATION, Answer, DescribedRoute, Operation, Parameter
from pointsman.web.streams import EventStream, Flag

router = APIRouter(tags=["runner"])

Desk = Annotated[RunnerDesk, Depends(provided(RunnerDesk))]
Target = Annotated[ChosenId, Query(description="One of the targets that are served here.")]
_NOT_SERVED: dict[int | str, dict[str, Any]] = {404: {"description": "The target is not served here."}}
_TAR = "application/x-tar"
_STILL_HERE = timedelta(seconds=10)
_MOST = 64 * 2**20
_decode = msgspec.json.Decoder(Command).decode


@router.get("/v2/runner/probe", responses=_NOT_SERVED)
async def probe_runner(target: Target, desk: Desk, caller: Caller) -> TargetHealth:
    """Really use a target that is served here, and say how that went."""
    return TargetHealth.of(await desk.probe(caller, target))


@router.post("/v2/runner/sandboxes", status_code=201, response_model=SandboxRead, responses={201: {"headers": LOCATION}})
async def open_sandbox(body: SandboxCreate, desk: Desk, caller: Caller, response: Response) -> object:
    """Open a sandbox; it is closed when its caller was silent for 30 seconds and nothing runs in it."""
    sandbox = await desk.open(caller, body)
    response.headers["Location"] = f"/v2/runner/sandboxes/{body.handle}"
    return SandboxRead(handle=body.handle, host=sandbox.host, container_id=sandbox.container_id, peak_memory_mb=None)


@router.get("/v2/runner/sandboxes", responses=_NOT_SERVED)
async def list_sandboxes(target: Target, desk: Desk, caller: Caller) -> SandboxHandles:
    """The sandboxes of this key on a target, held or left over."""
    return SandboxHandles(handles=await desk.list_handles(caller, target))


@router.get("/v2/runner/sandboxes/{handle}")
async def read_sandbox(handle: str, desk: Desk, caller: Caller) -> SandboxRead:
    """Read a sandbox, which says that its caller is there."""
    sandbox = desk.require(caller, handle)
    peak = await sandbox.peak_memory_mb()
    return SandboxRead(handle=handle, host=sandbox.host, container_id=sandbox.container_id, peak_memory_mb=peak)


@router.delete("/v2/runner/sandboxes/{handle}", status_code=204)
async def close_sandbox(handle: str, target: Target, desk: Desk, caller: Caller) -> None:
    """End everything in a sandbox and remove it, also where it is only left over. Repeatable."""
    await desk.reap(caller, target, handle)


@router.delete("/v2/runner/sandboxes/{handle}/commands/{command_id}", status_code=204)
async def cancel_command(handle: str, command_id: str, desk: Desk, caller: Caller) -> None:
    """End a command with all that it started; answered when that is gone."""
    await desk.cancel(caller, handle, command_id)


async def put_files(request: Request) -> PlainResponse:
    """Unpack a tar into the workspace."""
    sandbox = service(request, RunnerDesk).require(caller(request), request.path_params["handle"])
    await sandbox.upload(await request.body())
    return PlainResponse(status_code=204)


async def get_files(request: Request) -> PlainResponse:
    """A tar of paths of the workspace."""
    sandbox = service(request, RunnerDesk).require(caller(request), request.path_params["handle"])
    archive = await sandbox.download(request.query_params.getlist("path") or ["."], most=_most(request))
    return PlainResponse(archive, media_type=_TAR)


async def run_command(request: Request) -> EventStream:
    """Run a command and follow what it says."""
    desk, principal, handle = service(request, RunnerDesk), caller(request), request.path_params["handle"]
    try:
        command = _decode(await request.body())
    except msgspec.MsgspecError as error:
        raise InvalidRequest(str(error), errors=(FieldError("", str(error)),)) from None
    desk.require(principal, handle)
    return EventStream(desk.execute(principal, handle, command), draining=service(request, Flag), heartbeat=_STILL_HERE)


def _most(request: Request) -> int:
    asked = request.query_params.get("most", str(_MOST))
    if asked.isdecimal() and len(asked) < 10 and 0 < int(asked) <= _MOST:
        return int(asked)
    message = f"`most` is a number of bytes from 1 to {_MOST}."
    raise InvalidRequest(message, errors=(FieldError("/query/most", message),))


_FILES = "/v2/runner/sandboxes/{handle}/files"
_PATHS = Parameter("path", description="Within the workspace; several times for several. Unset: all of it.")
_BOUND = Parameter("most", description="Largest archive in bytes.", schema={"type": "integer", "minimum": 1, "maximum": _MOST})
_FAILURES = (409, 502)

routes = [
    DescribedRoute(
        "PUT",
        _FILES,
        put_files,
        Operation(
            id="put_files",
            summary="Unpack a tar into the workspace.",
            tag="runner",
            answers={204: Answer("It is there.")},
            problems=_FAILURES,
            description=f"The body is the archive, `{_TAR}`.",
        ),
    ),
    DescribedRoute(
        "GET",
        _FILES,
        get_files,
        Operation(
            id="get_files",
            summary="A tar of paths of the workspace; what is not there is left out.",
            tag="runner",
            answers={200: Answer("The archive.", media=_TAR)},
            parameters=(_PATHS, _BOUND),
            problems=_FAILURES,
        ),
    ),
    DescribedRoute(
        "POST",
        "/v2/runner/sandboxes/{handle}/exec",
        run_command,
        Operation(
            id="run_command",
            summary="Run a command and follow what it says; leaving ends it.",
            tag="runner",
            body=Command,
            answers={200: Answer("`{stream, data}` with base64 for each piece, then `{exited}` or `{problem}`.", stream=True)},
            problems=_FAILURES,
        ),
    ),
]
