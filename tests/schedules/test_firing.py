"""Schedules at work: each time that comes is begun once, by whoever looks, and a run that was begun is not begun again."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from collections import Counter
from typing import Any

import pytest

from pointsman.chat.schemas import ChatBody
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.schedules.errors import ScheduleExists, ScheduleNotFound
from pointsman.schedules.firing import Firing
from pointsman.schedules.schemas import Ask, ScheduleCreate, SchedulePatch
from pointsman.schedules.service import ScheduleService
from pointsman.schedules.times import next_time
from pointsman.sessions.errors import SessionBusy


class Asked:
    """The port `Subjects`: notes which runs were begun."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.fails: list[BaseException] = []

    async def require(self, principal: Principal, subject_type: str, subject_id: str) -> None:
        """Everything is there."""

    async def ask(self, principal: Principal, subject_type: str, subject_id: str, request: ChatBody, run_id: str) -> None:
        assert (principal.may("agents:run"), subject_type, subject_id, request.message) == (True, "agent", "a", "Well?")
        await asyncio.sleep(0.01)
        if self.fails:
            raise self.fails.pop()
        self.runs[run_id] += 1


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def maker(owner: Connection) -> Principal:
    return await make_key(owner, "agents:run", "schedules:write")


@pytest.fixture
def schedules(db: Database, asked: Asked) -> ScheduleService:
    return ScheduleService(db, asked)


async def make_key(owner: Connection, *scopes: str, tenant: str | None = None) -> Principal:
    statement = "INSERT INTO api_keys (key_hash, name, scopes, owner_id) VALUES ($1, 'k', $2, $3) RETURNING id"
    key_id = await owner.fetchval(statement, uuid.uuid4().hex, json.dumps(scopes), tenant)
    return Principal(key_id=key_id, key_name="k", owner_id=tenant, scopes=frozenset(scopes), tenant=tenant)


def every_minute(**more: Any) -> ScheduleCreate:
    values: dict[str, Any] = {"id": "often", "subject_type": "agent", "subject_id": "a", "cron": "* * * * *"}
    values["request"] = Ask(message="Well?")
    values.update(more)
    return ScheduleCreate(**values)


async def came(connection: Connection, ago: dt.timedelta) -> None:
    """Let the schedule's time have come so long ago, on a full minute."""
    due = (dt.datetime.now(dt.UTC) - ago).replace(second=0, microsecond=0)
    await connection.execute("UPDATE schedules SET next_at = $1", due)


async def fires(owner: Connection) -> list[tuple[str, str | None]]:
    rows = await owner.fetch("SELECT status, problem->>'code' AS code FROM schedule_fires ORDER BY due_at")
    return [(row["status"], row["code"]) for row in rows]


async def test_a_time_is_begun_once_by_five_replicas_that_look_at_once(
    db: Database, owner: Connection, asked: Asked, maker: Principal, schedules: ScheduleService
) -> None:
    await schedules.create_schedule(maker, every_minute())
    await came(owner, dt.timedelta(seconds=10))
    await asyncio.gather(*(Firing(db, asked).run_once() for _ in range(5)))
    await Firing(db, asked).run_once()
    assert list(asked.runs.values()) == [1]
    assert await fires(owner) == [("started", None)]
    assert await owner.fetchval("SELECT next_at > clock_timestamp() FROM schedules")


async def test_a_run_whose_beginner_died_is_begun_by_another_under_the_same_id(
    db: Database, owner: Connection, asked: Asked, maker: Principal, schedules: ScheduleService
) -> None:
    await schedules.create_schedule(maker, every_minute())
    await came(owner, dt.timedelta(seconds=10))
    asked.fails.append(asyncio.CancelledError())  # as a process that is gone amid it
    with pytest.raises(asyncio.CancelledError):
        await Firing(db, asked).run_once()
    assert await Firing(db, asked).run_once() == 0  # it is held for a while
    noted = await owner.fetchval("UPDATE schedule_fires SET held_until = clock_timestamp() - interval '1 s' RETURNING run_id")
    assert await Firing(db, asked).run_once() == 1
    assert asked.runs == {noted: 1}


@pytest.mark.parametrize(("missed", "status", "runs"), [("skip", "skipped", 0), ("once", "started", 1)])
async def test_times_that_were_missed_are_left_out_or_the_latest_is_made_up_for(
    db: Database, owner: Connection, asked: Asked, maker: Principal, schedules: ScheduleService, missed: Any, status: str, runs: int
) -> None:
    await schedules.create_schedule(maker, every_minute(cron="0 * * * *", missed=missed))
    due = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=5)
    await owner.execute("UPDATE schedules SET next_at = $1, cron = $2", due, f"{(due.minute - 3) % 60} * * * *")
    await owner.execute("UPDATE schedules SET cron = extract(minute FROM clock_timestamp() - interval '10 min')::text || ' * * * *'")
    assert await Firing(db, asked).run_once() == runs
    assert await fires(owner) == [(status, None)]
    late = await owner.fetchval("SELECT clock_timestamp() - due_at FROM schedule_fires")
    assert dt.timedelta(minutes=9) < late < dt.timedelta(minutes=12)


async def test_a_busy_session_is_waited_for_and_a_revoked_key_is_told(
    db: Database, owner: Connection, asked: Asked, maker: Principal, schedules: ScheduleService
) -> None:
    await schedules.create_schedule(maker, every_minute())
    await came(owner, dt.timedelta(seconds=10))
    asked.fails.append(SessionBusy("Another turn is running."))
    assert await Firing(db, asked).run_once() == 0
    assert await fires(owner) == [("pending", None)]
    await owner.execute("UPDATE schedule_fires SET held_until = NULL")
    await owner.execute("UPDATE api_keys SET is_active = false WHERE id = $1", maker.key_id)
    assert await Firing(db, asked).run_once() == 0
    assert await fires(owner) == [("failed", "schedule-key-gone")]
    page = await schedules.list_fires(maker, "often", limit=10, cursor=None)
    assert [(fire.status, fire.run_id) for fire in page.items] == [("failed", None)]


async def test_a_paused_schedule_does_nothing_and_a_deleted_one_comes_back(
    db: Database, asked: Asked, maker: Principal, schedules: ScheduleService
) -> None:
    await schedules.create_schedule(maker, every_minute())
    with pytest.raises(ScheduleExists):
        await schedules.create_schedule(maker, every_minute())
    paused = await schedules.update_schedule(maker, "often", SchedulePatch(paused=True))
    assert (paused.next_at, paused.cron) == (None, "* * * * *")
    assert await Firing(db, asked).run_once() == 0
    await schedules.delete_schedule(maker, "often")
    await schedules.delete_schedule(maker, "often")
    with pytest.raises(ScheduleNotFound):
        await schedules.require_schedule(maker, "often")
    assert (await schedules.create_schedule(maker, every_minute(name="again"))).name == "again"


async def test_another_tenants_schedule_is_not_there(owner: Connection, schedules: ScheduleService, maker: Principal) -> None:
    await schedules.create_schedule(maker, every_minute())
    stranger = await make_key(owner, "agents:run", tenant="acme")
    with pytest.raises(ScheduleNotFound):
        await schedules.require_schedule(stranger, "often")
    assert (await schedules.create_schedule(stranger, every_minute())).tenant_id == "acme"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-03-28T02:00:00+00:00", "2026-03-29T01:00:00+00:00"),  # 02:30 does not exist on the 29th: it is made up for at 03:00
        ("2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00+00:00"),  # 02:30 exists twice on the 25th: once
        ("2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"),
    ],
)
def test_times_are_those_of_the_zone_also_when_its_clock_is_changed(after: str, expected: str) -> None:
    found = next_time("30 2 * * *", "Europe/Berlin", dt.datetime.fromisoformat(after))
    assert found is not None
    assert found.isoformat() == expected
