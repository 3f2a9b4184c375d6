"""Routes of jobs; the event stream and the files are plain Starlette."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from pointsman.jobs.events import visible
from pointsman.jobs.following import JobReplay
from pointsman.jobs.schemas import AttemptRead, JobCreate, JobRead
from pointsman.jobs.service import JobService
from pointsman.jobs.states import Status
from pointsman.kit.problems import FieldError, InvalidRequest
from pointsman.runs.routes import VERBOSITIES, asked_verbosity, event_stream, require_room
from pointsman.web.deps import Caller, caller, provided, service
from pointsman.web.idempotency import attempt_of
from pointsman.web.openapi import LOCATION, Answer, DescribedRoute, Operation, Parameter
from pointsman.web.paging import Cursor, Limit, Page
from pointsman.web.streams import LAST_SEQ, EventStream, resume_after

router = APIRouter(tags=["jobs"])

Jobs = Annotated[JobService, Depends(provided(JobService))]
Filter = Annotated[str | None, Query(max_length=255)]
_SEQ = {"type": "integer", "minimum": 0, "maximum": LAST_SEQ}
_KINDS = ("in", "checkpoint", "out")


@router.post("/v2/jobs", status_code=202, responses={202: {"headers": LOCATION}})
async def create_job(body: JobCreate, jobs: Jobs, caller: Caller, request: Request, response: Response) -> JobRead:
    """Have something done by an engine on a target, durably."""
    attempt = attempt_of(request.scope)
    job = await jobs.create(caller, body, attempt=attempt.run_id if attempt else None)
    response.headers["Location"] = f"/v2/jobs/{job.id}"
    return job


@router.get("/v2/jobs")
async def list_jobs(
    jobs: Jobs,
    caller: Caller,
    status: Status | None = None,
    target: Filter = None,
    pool: Filter = None,
    run: Filter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobRead]:
    """List jobs, newest first."""
    return await jobs.list_jobs(caller, status=status, target=target, pool=pool, run=run, limit=limit, cursor=cursor)


@router.get("/v2/jobs/{job_id}")
async def read_job(jobs: Jobs, caller: Caller, job_id: str) -> JobRead:
    """Read a job, its attempts and its result."""
    return await jobs.require_job(caller, job_id)


@router.get("/v2/jobs/{job_id}/attempts")
async def list_attempts(jobs: Jobs, caller: Caller, job_id: str) -> Page[AttemptRead]:
    """List a job's attempts in the order in which they were made."""
    return Page(items=await jobs.list_attempts(caller, job_id), next_cursor=None)


@router.post("/v2/jobs/{job_id}/cancel")
async def cancel_job(jobs: Jobs, caller: Caller, job_id: str) -> JobRead:
    """End a job; what runs is killed with all that it started."""
    return await jobs.cancel(caller, job_id)


@router.post("/v2/jobs/{job_id}/retry")
async def retry_job(jobs: Jobs, caller: Caller, job_id: str) -> JobRead:
    """Have a job tried again that failed, ran out of memory or met an open circuit breaker."""
    return await jobs.retry(caller, job_id)


async def follow_job(request: Request) -> EventStream:
    """Replay a job's events from `Last-Event-ID`, then follow it to its end."""
    after, verbosity = resume_after(request), asked_verbosity(request) or "full"
    require_room(request)
    job_id = await service(request, JobService).require_events(caller(request), request.path_params["job_id"])
    return event_stream(request, service(request, JobReplay).follow(job_id, after), lambda event: visible(event, verbosity))


async def download_workspace(request: Request) -> Response:
    """A tar of a job's files."""
    kind = request.query_params.get("kind", "out")
    if kind not in _KINDS:
        message = f"kind is one of {', '.join(_KINDS)}."
        raise InvalidRequest(message, errors=(FieldError("/query/kind", message),))
    data = await service(request, JobService).require_workspace(caller(request), request.path_params["job_id"], kind)
    return Response(data, media_type="application/x-tar")


routes = [
    DescribedRoute(
        "GET",
        "/v2/jobs/{job_id}/events",
        follow_job,
        Operation(
            id="follow_job",
            summary="Replay a job's events from `Last-Event-ID`, then follow it to its end.",
            tag="jobs",
            answers={200: Answer("The job's events; the stream ends when the job has ended.", stream=True)},
            parameters=(
                Parameter("Last-Event-ID", "header", "Only events after this id.", _SEQ),
                Parameter("after", "query", "The same for clients that cannot set the header.", _SEQ),
                Parameter("stream_verbosity", "query", "Unset: full.", {"type": "string", "enum": list(VERBOSITIES)}),
            ),
        ),
    ),
    DescribedRoute(
        "GET",
        "/v2/jobs/{job_id}/workspace",
        download_workspace,
        Operation(
            id="download_workspace",
            summary="A tar of a job's files.",
            tag="jobs",
            answers={200: Answer("The files as a tar.", media="application/x-tar")},
            parameters=(
                Parameter(
                    "kind", "query", "What it left (the default), began with, or goes on with.", {"type": "string", "enum": [*_KINDS]}
                ),
            ),
        ),
    ),
]
