"""Routes of runs; the event stream is plain Starlette."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from starlette.requests import Request

from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.kit.telemetry import Metrics
from pointsman.runs.errors import TooManyStreams
from pointsman.runs.events import Event, Verbosity, visible
from pointsman.runs.replay import Replay
from pointsman.runs.schemas import ResumeBody, RunRead, RunStatus
from pointsman.runs.service import RunService
from pointsman.settings import Settings
from pointsman.web.deps import Caller, caller, provided, service
from pointsman.web.openapi import Answer, DescribedRoute, Operation, Parameter
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.streams import LAST_SEQ, EventStream, Flag, frame, resume_after

router = APIRouter(tags=["runs"])

Runs = Annotated[RunService, Depends(provided(RunService))]
Filter = Annotated[str | None, Query(max_length=255)]
OfParent = Annotated[str | None, Query(max_length=255, description="Only what members did for this run of a team.")]
_SEQ = {"type": "integer", "minimum": 0, "maximum": LAST_SEQ}
VERBOSITIES = ("full", "events", "result")


@router.get("/v2/runs")
async def list_runs(
    runs: Runs,
    caller: Caller,
    status: RunStatus | None = None,
    subject: Filter = None,
    session_id: Filter = None,
    user_id: Filter = None,
    parent_run_id: OfParent = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RunRead]:
    """List runs, newest first; what members did for a team's run only where that is asked for by `parent_run_id`."""
    return await runs.list_runs(
        caller,
        status=status,
        subject=subject,
        session_id=session_id,
        user_id=user_id,
        parent_run_id=parent_run_id,
        limit=limit,
        cursor=cursor,
    )


@router.get("/v2/runs/{run_id}")
async def read_run(runs: Runs, caller: Caller, run_id: str) -> RunRead:
    """Read a run and how it ended."""
    return await runs.require_run(caller, run_id)


@router.post("/v2/runs/{run_id}/cancel")
async def cancel_run(runs: Runs, caller: Caller, run_id: str) -> RunRead:
    """Cancel a run; what it has said and spent so far stays."""
    return await runs.cancel(caller, run_id)


@router.post("/v2/runs/{run_id}/resume")
async def resume_run(runs: Runs, caller: Caller, run_id: str, body: Annotated[ResumeBody | None, Body()] = None) -> RunRead:
    """Drive an interrupted run on from its last recorded step, or decide what a paused one asks for."""
    return await runs.resume(caller, run_id, body.approvals if body else ())


async def follow_run(request: Request) -> EventStream:
    """Replay a run's events from `Last-Event-ID`, then follow it to its end."""
    after, asked = resume_after(request), asked_verbosity(request)
    require_room(request)
    runs = service(request, RunService)
    row = await runs.require_row(caller(request), request.path_params["run_id"])
    await runs.require_events(row)
    return run_stream(request, row["id"], after, asked or row["stream_verbosity"])


def asked_verbosity(request: Request) -> Verbosity | None:
    """What the query says of verbosity, if it says anything. Raises InvalidRequest."""
    asked = request.query_params.get("stream_verbosity")
    if asked is not None and asked not in VERBOSITIES:
        message = "stream_verbosity is one of full, events, result."
        raise InvalidRequest(message, errors=(FieldError("/query/stream_verbosity", message),))
    return asked


def require_room(request: Request) -> None:
    """Before anything is done for a stream: whether this process may serve one more. Raises TooManyStreams."""
    most = service(request, Settings).limits.streams
    if service(request, Replay).followers() >= most:
        service(request, Metrics).shed("streams")
        raise TooManyStreams(f"{most} streams are served already.", hint="Retry in a moment.", retry_after=1)


def run_stream(request: Request, run_id: str, after: int, verbosity: Verbosity, *, location: str | None = None) -> EventStream:
    """The events of a run above `after`, then those that come."""
    batches = service(request, Replay).follow(run_id, after)
    return event_stream(request, batches, lambda event: visible(event, verbosity), location=location)


def event_stream(
    request: Request, batches: AsyncGenerator[list[Event]], shown: Callable[[Event], bool], *, location: str | None = None
) -> EventStream:
    """Those of the events that are `shown`, as they come."""
    heartbeat = timedelta(seconds=service(request, Settings).heartbeat_seconds)
    headers = [(b"location", location.encode())] if location else []
    return EventStream(_frames(batches, shown), draining=service(request, Flag), heartbeat=heartbeat, headers=headers)


async def _frames(batches: AsyncGenerator[list[Event]], shown: Callable[[Event], bool]) -> AsyncGenerator[bytes]:
    async with aclosing(batches):
        async for batch in batches:
            ready = b"".join([frame(event.seq, event.type, event.data) for event in batch if shown(event)])
            if ready:
                yield ready


routes = [
    DescribedRoute(
        "GET",
        "/v2/runs/{run_id}/events",
        follow_run,
        Operation(
            id="follow_run",
            summary="Replay a run's events from `Last-Event-ID`, then follow it to its end.",
            tag="runs",
            answers={200: Answer("The run's events; the last one ends the stream.", stream=True)},
            parameters=(
                Parameter("Last-Event-ID", "header", "Only events after this id.", _SEQ),
                Parameter("after", "query", "The same for clients that cannot set the header.", _SEQ),
                Parameter("stream_verbosity", "query", "Unset: that of the run's request.", {"type": "string", "enum": list(VERBOSITIES)}),
            ),
        ),
    )
]
