"""What expires, in which order and after how long: each kind's batch, made of the statements of the slice that owns the rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from pointsman.credentials import disposal as credentials
from pointsman.jobs import disposal as jobs
from pointsman.kit.db import Connection
from pointsman.retention import queries
from pointsman.runs import disposal as runs
from pointsman.schedules import disposal as schedules
from pointsman.sessions import disposal as sessions
from pointsman.settings import RetentionSettings
from pointsman.usage import disposal as usage
from pointsman.web import idempotency_queries
from pointsman.web.idempotency import KEPT as ANSWERS_KEPT
from pointsman.webhooks import disposal as webhooks

_CONNECTS_KEPT = timedelta(days=1)  # long enough to be asked what came of one
_SNAPSHOTS_KEPT = timedelta(days=1)  # longer than any replica believes in a snapshot that it stored


class Swept(NamedTuple):
    """What a batch did: rows deleted, where the next one goes on, and whether there is one now."""

    rows: int
    place: Any
    more: bool


Batch = Callable[[Connection, Any, int], Awaitable[Swept]]


def batches(settings: RetentionSettings) -> dict[str, Batch]:
    """The kinds that expire at these settings, by name, in the order in which they are swept."""
    runs_kept, jobs_kept = _kept(settings.runs), _kept(settings.jobs)
    # Events go before their run, so that deleting a run is never a large batch.
    events_kept = min((kept for kept in (_kept(settings.events), runs_kept) if kept), default=None)
    job_events_kept = min((kept for kept in (_kept(settings.events), jobs_kept) if kept), default=None)
    chosen: list[tuple[str, timedelta | None, Callable[[timedelta], Batch]]] = [
        ("events", events_kept, _events),
        ("job_events", job_events_kept, _job_events),
        ("jobs", jobs_kept, _whole(jobs.expire_jobs)),
        ("runs", runs_kept, _runs),
        ("sessions", _kept(settings.sessions), _sessions),
        ("schedule_fires", runs_kept, _whole(schedules.expire_fires)),
        ("usage", _kept(settings.usage), _whole(usage.expire_usage)),
        ("webhook_deliveries", _kept(settings.webhooks), _whole(webhooks.expire_deliveries)),
        ("token_uses", _kept(settings.token_uses), _whole(credentials.expire_uses)),
        ("token_connects", _CONNECTS_KEPT, _whole(credentials.expire_connects)),
        ("snapshots", _SNAPSHOTS_KEPT, _snapshots),
        ("idempotency", ANSWERS_KEPT, _whole(_expire_answers)),
    ]
    return {name: made(kept) for name, kept, made in chosen if kept}


def _kept(setting: timedelta) -> timedelta | None:
    """Zero keeps for ever."""
    return setting or None


def _whole(expire: Callable[[Connection, timedelta, int], Awaitable[int]]) -> Callable[[timedelta], Batch]:
    """A kind whose batches need no place to go on from: what is deleted is not met again, and a full batch may not be the last."""

    def made(kept: timedelta) -> Batch:
        async def batch(connection: Connection, place: Any, most: int) -> Swept:
            del place
            rows = await expire(connection, kept, most)
            return Swept(rows, None, rows == most)

        return batch

    return made


def _events(kept: timedelta) -> Batch:
    async def batch(connection: Connection, place: Any, most: int) -> Swept:
        after = msgspec.convert(place, runs.Place) if place else None
        rows, reached, more = await runs.expire_events(connection, kept, after, most)
        return Swept(rows, reached, more)

    return batch


def _job_events(kept: timedelta) -> Batch:
    async def batch(connection: Connection, place: Any, most: int) -> Swept:
        after = msgspec.convert(place, jobs.Place) if place else None
        rows, reached, more = await jobs.expire_events(connection, kept, after, most)
        return Swept(rows, reached, more)

    return batch


def _runs(kept: timedelta) -> Batch:
    async def batch(connection: Connection, place: Any, most: int) -> Swept:
        del place  # what is deleted is not met again
        swept = await queries.find_place(connection, "events")
        upto = msgspec.json.decode(swept, type=runs.Place) if swept else None
        rows, more = await sessions.expire_runs(connection, kept, upto, most)
        return Swept(rows, None, more)

    return batch


def _sessions(kept: timedelta) -> Batch:
    async def batch(connection: Connection, place: Any, most: int) -> Swept:
        after = msgspec.convert(place, sessions.Place) if place else None
        rows, reached = await sessions.expire_sessions(connection, kept, after, most)
        return Swept(rows, reached, reached is not None)

    return batch


def _snapshots(kept: timedelta) -> Batch:
    async def batch(connection: Connection, place: Any, most: int) -> Swept:
        rows, reached = await runs.expire_snapshots(connection, kept, place, most)
        return Swept(rows, reached, reached is not None)

    return batch


async def _expire_answers(connection: Connection, kept: timedelta, most: int) -> int:
    return len(await connection.fetch(idempotency_queries.PURGE, kept, most))
