"""Runs: the verbs that any reader or operator has; opening and driving them is the business of whoever has the turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.principal import Principal
from pointsman.runs import disposal, queries
from pointsman.runs.errors import RunEnded, RunEventsExpired, RunIsPaused, RunIsRunning, RunNotFound
from pointsman.runs.ports import SupervisedRuns
from pointsman.runs.replay import Replay
from pointsman.runs.replicas import Rescue
from pointsman.runs.schemas import RunDecision, RunRead, RunStatus, RunSupervisor, RunUsage, TeamRunUsage
from pointsman.web.paging import Page, decode_cursor, page_of

_CANCEL_PATIENCE = 5.0
_SUPERVISED = "supervised"
Decide = Callable[[Principal, str, Sequence[RunDecision]], Awaitable[None]]


class RunService:
    """Reads, cancels and resumes runs."""

    def __init__(self, db: Database, replay: Replay, rescue: Rescue, decide: Decide, supervised: SupervisedRuns | None = None) -> None:
        """Make one; `decide` takes decisions about what a run asks for, all or none."""
        self._db = db
        self._decide = decide
        self._rescue = rescue
        self._supervised = supervised
        self.replay = replay

    async def list_runs(
        self,
        principal: Principal,
        *,
        status: RunStatus | None,
        subject: str | None,
        session_id: str | None,
        user_id: str | None,
        parent_run_id: str | None,
        limit: int,
        cursor: str | None,
    ) -> Page[RunRead]:
        """Newest first."""
        before: Any = decode_cursor(cursor, int)
        async with self._db.connection() as connection:
            rows = await queries.list_runs(
                connection,
                tenant=principal.visible_tenant,
                limit=limit + 1,
                before=before[0] if before else None,
                status=status,
                subject=subject,
                session_id=session_id,
                user_id=user_id,
                parent_run_id=parent_run_id,
            )
            stories = await self._describe(connection, rows[:limit])
        return page_of(rows, limit, lambda row: _read(row, stories.get(row["id"])), lambda row: (row["ordinal"],))

    async def require_run(self, principal: Principal, run_id: str) -> RunRead:
        """One run that the caller may see."""
        return await self._read(await self.require_row(principal, run_id))

    async def require_row(self, principal: Principal, run_id: str) -> Record:
        """The same as a row."""
        async with self._db.connection() as connection:
            row = await queries.find_run(connection, run_id, principal.visible_tenant)
        if row is None:
            raise RunNotFound(f"No run {run_id!r}.")
        return row

    async def require_events(self, run: Record) -> None:
        """Raises RunEventsExpired where the run is so old that its events are gone."""
        if run["completed_at"] is None:
            return
        async with self._db.connection() as connection:
            if await disposal.events_expired(connection, run["id"]):
                raise RunEventsExpired(
                    f"The events of run {run['id']} were kept for a while after its end and are gone.",
                    hint=f"GET /v2/runs/{run['id']} has its answer.",
                )

    async def cancel(self, principal: Principal, run_id: str) -> RunRead:
        """Ask whoever drives the run to stop, and wait a moment for its end. Repeatable; refused once it has ended otherwise."""
        row = await self.require_row(principal, run_id)
        async with self._db.transaction() as connection:
            asked = await queries.request_cancel(connection, run_id)
            if asked and row["kind"] == _SUPERVISED and self._supervised is not None:
                await self._supervised.stop(connection, run_id)
        if asked:
            await self._wait_for_end(run_id)
        row = await self.require_row(principal, run_id)
        if not asked and row["status"] != "cancelled":
            raise RunEnded(f"Run {run_id} is {row['status']}.")
        return await self._read(row)

    async def resume(self, principal: Principal, run_id: str, decisions: Sequence[RunDecision] = ()) -> RunRead:
        """Drive an interrupted run on from its last recorded step, here and now instead of when its replica's death is noticed.

        With decisions a paused run is let go on, by whichever replica is first.
        """
        row = await self.require_row(principal, run_id)
        if decisions:
            await self._decide(principal, run_id, decisions)
            return await self.require_run(principal, run_id)
        if row["status"] == "paused":
            raise RunIsPaused(f"Run {run_id} waits for decisions.", hint=f"GET /v2/approvals?run_id={run_id} lists what it asks for.")
        if row["status"] != "running":
            raise RunEnded(f"Run {run_id} is {row['status']}.")
        if row["kind"] == _SUPERVISED:
            raise RunIsRunning(f"Run {run_id} is driven by the workers.", hint=f"Follow it at /v2/runs/{run_id}/events.")
        if not await self._rescue.run_once(run_id):
            raise RunIsRunning(f"Run {run_id} is driven by a live replica.", hint=f"Follow it at /v2/runs/{run_id}/events.")
        return await self.require_run(principal, run_id)

    async def _read(self, row: Record) -> RunRead:
        async with self._db.connection() as connection:
            return _read(row, (await self._describe(connection, [row])).get(row["id"]))

    async def _describe(self, connection: Connection, rows: Sequence[Record]) -> Mapping[str, Mapping[str, Any]]:
        supervised = [row["id"] for row in rows if row["kind"] == _SUPERVISED]
        if not supervised or self._supervised is None:
            return {}
        return await self._supervised.describe(connection, supervised)

    async def _wait_for_end(self, run_id: str) -> None:
        try:
            async with asyncio.timeout(_CANCEL_PATIENCE):
                async for _ in self.replay.follow(run_id):
                    pass
        except TimeoutError:
            return


def _read(row: Record, story: Mapping[str, Any] | None) -> RunRead:
    result: dict[str, Any] = msgspec.json.decode(row["result"]) if row["result"] else {}
    return RunRead(
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        status=row["status"],
        tenant_id=row["tenant_id"] or None,
        session_id=row["session_id"],
        parent_run_id=row["parent_run_id"],
        user_id=row["user_id"],
        key_id=row["key_id"],
        created_at=row["created_at"],
        completed_at=row["completed_at"],
        request=msgspec.json.decode(row["request"]),
        model=result.get("model"),
        content=result.get("content"),
        output=result.get("output"),
        usage=_usage(result["usage"]) if result else None,
        error=queries.parse(row["error"]),
        supervisor=None if story is None else RunSupervisor(**story),
    )


def _usage(usage: dict[str, Any]) -> RunUsage | TeamRunUsage:
    return TeamRunUsage(**usage) if "members" in usage else RunUsage(**usage)
