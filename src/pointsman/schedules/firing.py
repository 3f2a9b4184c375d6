"""Schedules at work: each time that comes is noted once, in the transaction that sets the next one; then its run is begun.

The note carries the id of the run, so that whoever begins it, and however often, begins the same one.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import structlog

from pointsman.access.queries import find_working_key
from pointsman.kit import failpoints, json_text
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Kind, Problem, Unavailable
from pointsman.schedules import queries
from pointsman.schedules.errors import ScheduleKeyGone
from pointsman.schedules.ports import Subjects
from pointsman.schedules.schemas import Ask
from pointsman.schedules.times import latest_time, next_time

LATE = timedelta(minutes=2)
"""A time that is seen later than this was missed: no gateway ran."""
_LOOK = 1.0
_MOST = 50
_HELD = 10.0  # seconds: to begin a run takes a moment, and a second one who begins it begins the same one
_PASSING = {Kind.UNAVAILABLE, Kind.LIMITED, Kind.CONFLICT}
"""Problems with which a run is begun a little later: this process is full, the session is busy."""
_GIVE_UP = timedelta(minutes=10)

FIRING = failpoints.declare("schedules.fire", "A time has come: its run's id and the next time are noted.", ("in",))
BEGINNING = failpoints.declare("schedules.begin", "A run that is due is begun, and noted as begun.", ("before", "after"))

log = structlog.get_logger()


class Firing:
    """Makes schedules act, beside any number of other replicas."""

    def __init__(self, db: Database, subjects: Subjects) -> None:
        self._db = db
        self._subjects = subjects

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.run_once()
            await asyncio.sleep(_LOOK)

    async def run_once(self) -> int:
        """Note what is due, and begin what was noted; how many runs were begun. Raises Unavailable."""
        async with self._db.transaction() as connection:
            for row in await queries.lock_due(connection, _MOST):
                await _note(connection, row)
                await FIRING.reach("in")
        async with self._db.transaction() as connection:
            pending = await queries.take_pending(connection, _MOST, _HELD)
        return sum(await asyncio.gather(*(self._begin(fire) for fire in pending)))

    async def _begin(self, fire: Record) -> bool:
        await BEGINNING.reach("before")
        try:
            principal = await self._principal(fire)
            request = Ask.model_validate(json_text.decode(fire["request"]))
            await self._subjects.ask(principal, fire["subject_type"], fire["subject_id"], request, fire["run_id"])
        except Unavailable:
            return False
        except Problem as problem:
            await self._not_begun(fire, problem)
            return False
        await BEGINNING.reach("after")
        async with self._db.transaction() as connection:
            await queries.settle(connection, fire, "started")
        return True

    async def _principal(self, fire: Record) -> Principal:
        """The key that made the schedule, as it is now."""
        async with self._db.connection() as connection:
            key = await find_working_key(connection, fire["key_id"])
        needed = f"{fire['subject_type']}s:run"
        principal = key and Principal(
            key_id=key.id, key_name=key.name, owner_id=key.owner_id, scopes=frozenset(key.scopes), tenant=fire["tenant_id"] or None
        )
        if principal is None or not principal.may(needed):
            raise ScheduleKeyGone(
                f"The key {fire['key_id']} is revoked, expired or has not the scope {needed}.",
                hint=f"PATCH /v2/schedules/{fire['schedule_id']} with a key that works.",
            )
        return principal

    async def _not_begun(self, fire: Record, problem: Problem) -> None:
        async with self._db.transaction() as connection:
            late = await connection.fetchval("SELECT clock_timestamp() - $1::timestamptz", fire["due_at"])
            if problem.kind in _PASSING and late < _GIVE_UP:
                return  # it is taken again when nobody holds it any more
            await queries.settle(connection, fire, "failed", json_text.encode(problem.describe()))
        log.warning("schedule.not_begun", schedule_id=fire["schedule_id"], code=problem.code, detail=problem.detail)


async def _note(connection: Connection, row: Record) -> None:
    due, now = row["next_at"], row["now"]
    latest = latest_time(row["cron"], row["timezone"], first=due, now=now)
    was_missed = now - latest > LATE
    status = "skipped" if was_missed and row["missed"] == "skip" else "pending"
    await queries.fire(connection, row, latest, new_id("run"), status)
    await queries.move_on(connection, row, next_time(row["cron"], row["timezone"], now))
