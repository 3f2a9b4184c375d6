"""The verbs of jobs: those that people have, and those that others call within their own transactions."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from pointsman.audit.service import record
from pointsman.jobs import events, queries, workspaces
from pointsman.jobs.asking import described
from pointsman.jobs.creating import create_jobs
from pointsman.jobs.ending import CANCELLED, end
from pointsman.jobs.errors import JobEventsExpired, JobNotFound, JobStateRefused, JobWorkspaceMissing
from pointsman.jobs.messages import message_of
from pointsman.jobs.points import ASKING_AGAIN, CANCELLING, CREATING, DECIDING
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.reading import read_attempts, read_jobs
from pointsman.jobs.rows import NewJob, WorkspaceKind
from pointsman.jobs.schemas import AttemptRead, JobCreate, JobRead
from pointsman.jobs.states import ENDED, RETRYABLE, Status, require_edge
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.principal import Principal
from pointsman.web.paging import Page, decode_cursor, page_of

_CANCEL_PATIENCE = 5.0
_LOOK_EVERY = 0.05
_NAMESPACE = uuid.UUID("7c1d9c36-2f3b-4a57-9a49-6ac3e0f0c8d1")


async def create_job(connection: Connection, job: NewJob) -> uuid.UUID:
    """Create a job within the caller's transaction: row, details, first event and message, or its place in the line."""
    await create_jobs(connection, [job])
    return job.id


async def wake(connection: Connection, job_id: uuid.UUID) -> bool:
    """What a job awaited was decided: it is queued again, within the caller's transaction. False where it awaits nothing any more."""
    require_edge("awaiting_approval", "queued")
    row = await queries.wake(connection, job_id)
    if row is None:
        return False
    await events.tell(connection, [_queued(row, {"reason": "decided"})])
    await enqueue(connection, [message_of(row)])
    await DECIDING.reach("in")
    return True


async def tell(connection: Connection, job_id: uuid.UUID, type_: str, payload: dict[str, Any]) -> None:
    """An event of a job, and of its run, within the caller's transaction."""
    row = await queries.next_event(connection, job_id)
    if row is not None:
        await events.tell(connection, [events.Told(job_id, row["run_id"], row["last_seq"], type_, payload)])


async def deny(connection: Connection, job_id: uuid.UUID, reason: str) -> bool:
    """What a job awaited was denied: it has failed, within the caller's transaction. `reason` begins with `denied`."""
    return await end(connection, job_id, before="awaiting_approval", after="failed", reason=reason)


class JobService:
    """Jobs as people see them. A key that works in a tenant sees and touches that tenant's jobs alone."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def create(self, principal: Principal, body: JobCreate, *, attempt: str | None = None) -> JobRead:
        """A new job; the same one again where the same `attempt` was made before. Raises InvalidRequest, JobTargetForbidden."""
        job_id = uuid.uuid5(_NAMESPACE, attempt) if attempt else uuid.uuid4()
        await CREATING.reach("before")
        async with self._db.transaction() as connection:
            await create_jobs(connection, [await described(connection, principal, body, job_id)])
        await CREATING.reach("after")
        return await self.require_job(principal, str(job_id))

    async def require_job(self, principal: Principal, job_id: str) -> JobRead:
        """One job that the caller may see, with its attempts."""
        async with self._db.connection() as connection:
            row = await _require(connection, principal, job_id)
            attempts = await queries.list_attempts(connection, [row["id"]])
        return read_jobs([row], attempts)[0]

    async def list_jobs(
        self,
        principal: Principal,
        *,
        status: Status | None,
        target: str | None,
        pool: str | None,
        run: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[JobRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, int)
        filters = queries.Filters(principal.visible_tenant, status, target, pool, run, before[0] if before else None)
        async with self._db.connection() as connection:
            rows = await queries.list_jobs(connection, filters, limit + 1)
            attempts = await queries.list_attempts(connection, [row["id"] for row in rows[:limit]])
        return page_of(rows, limit, lambda row: read_jobs([row], attempts)[0], lambda row: (row["ordinal"],))

    async def list_attempts(self, principal: Principal, job_id: str) -> list[AttemptRead]:
        """In the order of their number."""
        async with self._db.connection() as connection:
            row = await _require(connection, principal, job_id)
            return read_attempts(await queries.list_attempts(connection, [row["id"]]))

    async def require_events(self, principal: Principal, job_id: str) -> uuid.UUID:
        """The id of a job whose events can be followed. Raises JobNotFound, JobEventsExpired."""
        async with self._db.connection() as connection:
            row = await _require(connection, principal, job_id)
            found = await queries.find_status(connection, row["id"])
        if found is None or (found["status"] in ENDED and not found["told"]):
            raise JobEventsExpired(f"The events of job {job_id} were kept for a while after its end and are gone.")
        return row["id"]

    async def require_workspace(self, principal: Principal, job_id: str, kind: WorkspaceKind) -> bytes:
        """A tar of the job's files. Raises JobNotFound, JobWorkspaceMissing."""
        async with self._db.connection() as connection:
            row = await _require(connection, principal, job_id)
            found = await workspaces.find_workspace(connection, row["id"], kind)
        if found is None:
            raise JobWorkspaceMissing(f"Job {job_id} has no workspace {kind!r}.")
        return found

    async def cancel(self, principal: Principal, job_id: str) -> JobRead:
        """End the job, or have its worker end it and wait a moment for that. Repeatable; refused once it has ended otherwise."""
        await CANCELLING.reach("before")
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, job_id)
            asked = await self.cancel_within(connection, row["id"])
            if asked:
                await record(connection, principal, "job.cancelled", "job", str(row["id"]), {"was": row["status"]}, tenant=row["tenant_id"])
        await CANCELLING.reach("after")
        if asked:
            await self._wait_for_end(row["id"])
        job = await self.require_job(principal, job_id)
        if job.status in ENDED and not _was_cancelled(job):
            raise JobStateRefused(f"Job {job_id} is {job.status}.", hint="A job that has ended cannot be cancelled.", status=job.status)
        return job

    async def retry(self, principal: Principal, job_id: str) -> JobRead:
        """Have a job tried again that failed, ran out of memory or met an open breaker. Raises JobStateRefused for any other."""
        await ASKING_AGAIN.reach("before")
        async with self._db.transaction() as connection:
            row = await _require(connection, principal, job_id)
            again = await queries.retry(connection, row["id"], sorted(RETRYABLE))
            if again is None:
                raise JobStateRefused(
                    f"Job {job_id} is {row['status']}.", hint=f"Only a job that is {', '.join(sorted(RETRYABLE))} is tried again."
                )
            await events.tell(connection, [_queued(again, {"reason": "retried"})])
            await enqueue(connection, [message_of(again)])
            await record(connection, principal, "job.retried", "job", str(row["id"]), {"was": row["status"]}, tenant=row["tenant_id"])
            await ASKING_AGAIN.reach("in")
        await ASKING_AGAIN.reach("after")
        return await self.require_job(principal, job_id)

    async def cancel_within(self, connection: Connection, job_id: uuid.UUID) -> bool:
        """End the job within the caller's transaction, or have its worker end it; whether there was something to cancel.

        A job may pass from one state to the next meanwhile, hence each is tried.
        """
        if await queries.request_cancel(connection, job_id):
            return True
        for before in _CANCELLED_AT_ONCE:
            if await end(connection, job_id, before=before, after="failed", reason=CANCELLED):
                return True
        return await queries.request_cancel(connection, job_id)

    async def _wait_for_end(self, job_id: uuid.UUID) -> None:
        deadline = asyncio.get_running_loop().time() + _CANCEL_PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            async with self._db.connection() as connection:
                found = await queries.find_status(connection, job_id)
            if found is None or found["status"] in ENDED:
                return
            await asyncio.sleep(_LOOK_EVERY)


_CANCELLED_AT_ONCE: Sequence[Status] = ("queued", "awaiting_approval")


async def _require(connection: Connection, principal: Principal, job_id: str) -> Record:
    row = await queries.find_job(connection, _parsed(job_id), principal.visible_tenant)
    if row is None:
        raise _not_found(job_id)
    return row


def _parsed(job_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(job_id)
    except ValueError:
        raise _not_found(job_id) from None


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"No job {job_id!r}.", hint="GET /v2/jobs lists them.")


def _was_cancelled(job: JobRead) -> bool:
    return job.status == "failed" and (job.last_failure_reason or "").startswith("cancelled")


def _queued(row: Record, said: dict[str, Any]) -> events.Told:
    return events.Told(row["job_id"], row["run_id"], row["last_seq"], events.QUEUED, said)
