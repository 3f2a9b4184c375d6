from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.access.access_scene import Desk, Line, authenticated, window_of

from pointsman.access.authenticate import AuthenticatedKey
from pointsman.access.errors import RateLimited
from pointsman.access.limits import HourlyLimit, RateState, headers
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable


@pytest.fixture
async def limited(db: Database, desk: Desk) -> AuthenticatedKey:
    """A key of ten requests an hour."""
    return await authenticated(db, (await desk.issue(rate_limit=10)).api_key)


async def passed(limit: HourlyLimit, key: AuthenticatedKey, times: int) -> int:
    """How many of so many parallel requests pass; the others must be over the limit."""
    answers = await asyncio.gather(*(limit.admit(key) for _ in range(times)), return_exceptions=True)
    assert all(isinstance(answer, RateState | RateLimited) for answer in answers), answers
    return sum(isinstance(answer, RateState) for answer in answers)


async def test_each_request_takes_one_and_the_one_too_many_is_told_when_to_come_back(db: Database, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(db)
    states = [await limit.admit(limited) for _ in range(10)]
    assert [state.remaining for state in states if state] == list(range(9, -1, -1))
    assert all(state and state.limit == 10 and 3590 < state.reset_seconds <= 3600 for state in states)
    with pytest.raises(RateLimited) as caught:
        await limit.admit(limited)
    assert caught.value.state == RateState(10, 0, caught.value.state.reset_seconds)
    assert caught.value.retry_after == caught.value.state.reset_seconds > 3590


async def test_of_many_at_once_exactly_the_limit_passes_and_each_learns_its_own_remainder(db: Database, limited: AuthenticatedKey) -> None:
    answers = await asyncio.gather(*(HourlyLimit(db).admit(limited) for _ in range(3)), *(HourlyLimit(db).admit(limited) for _ in range(3)))
    assert sorted(answer.remaining for answer in answers if answer) == [4, 5, 6, 7, 8, 9]
    limit = HourlyLimit(db)
    answers = await asyncio.gather(*(limit.admit(limited) for _ in range(50)), return_exceptions=True)
    assert sorted(answer.remaining for answer in answers if isinstance(answer, RateState)) == [0, 1, 2, 3]


async def test_a_refused_request_is_not_counted(db: Database, limited: AuthenticatedKey, owner: Connection) -> None:
    assert await passed(HourlyLimit(db), limited, 40) == 10
    assert await passed(HourlyLimit(db), limited, 40) == 0
    assert await window_of(owner, limited.family_id) == 10


async def test_those_who_wait_share_a_statement(dsn: str, limited: AuthenticatedKey) -> None:
    db = await Database.connect(dsn, pool_size=1)
    statements: list[str] = []
    async with db.connection() as connection:
        connection.add_query_logger(lambda record: statements.append(record.query))  # pyright: ignore[reportAttributeAccessIssue]
    limit = HourlyLimit(db)
    assert await passed(limit, limited, 300) == 10
    assert len(statements) <= 2  # none found, one opened
    assert await passed(limit, limited, 300) == 0
    assert len(statements) <= 2  # a window known to be used up is not asked about
    await db.close()


async def test_requests_that_come_while_a_statement_is_under_way_are_counted_by_the_next(db: Database, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(db)

    async def trickle(number: int) -> bool:
        await asyncio.sleep(number * 0.0005)
        try:
            return await limit.admit(limited) is not None
        except RateLimited:
            return False

    assert sum(await asyncio.gather(*(trickle(number) for number in range(60)))) == 10


async def test_without_a_limit_nothing_is_asked_or_counted(dsn: str, db: Database, desk: Desk) -> None:
    key = await authenticated(db, desk.api_key)
    closed = await Database.connect(dsn)
    await closed.close()
    assert await HourlyLimit(closed).admit(key) is None


async def test_a_limit_that_cannot_be_counted_lets_nobody_in(far: Database, line: Line, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(far)
    await line.cut()
    answers = await asyncio.gather(*(limit.admit(limited) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    await line.mend()
    assert await passed(limit, limited, 20) == 10


async def test_a_silent_database_is_not_waited_for(far: Database, line: Line, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(far)
    assert await limit.admit(limited)
    line.hold()
    answers = await asyncio.wait_for(asyncio.gather(*(limit.admit(limited) for _ in range(5)), return_exceptions=True), 15)
    assert {type(answer) for answer in answers} == {Unavailable}


async def test_a_window_lasts_an_hour_by_the_clock_of_the_database(db: Database, limited: AuthenticatedKey, owner: Connection) -> None:
    assert await passed(HourlyLimit(db), limited, 20) == 10
    await age_window(owner, limited, timedelta(seconds=3590))
    assert await passed(HourlyLimit(db), limited, 20) == 0
    await age_window(owner, limited, timedelta(seconds=10))
    assert await passed(HourlyLimit(db), limited, 20) == 10
    assert await window_of(owner, limited.family_id) == 10


async def test_a_window_that_ends_under_many_replicas_is_opened_once(db: Database, limited: AuthenticatedKey, owner: Connection) -> None:
    assert await passed(HourlyLimit(db), limited, 20) == 10
    for _ in range(10):
        await age_window(owner, limited, timedelta(hours=1))
        counts = await asyncio.gather(*(passed(HourlyLimit(db), limited, 4) for _ in range(8)))
        assert sum(counts) == 10
        assert await window_of(owner, limited.family_id) == 10


async def test_a_used_up_window_opens_again_in_the_process_that_remembered_it(
    db: Database, limited: AuthenticatedKey, owner: Connection
) -> None:
    limit = HourlyLimit(db)
    assert await passed(limit, limited, 9) == 9
    await age_window(owner, limited, timedelta(seconds=3599.5))
    assert await passed(limit, limited, 5) == 1
    with pytest.raises(RateLimited) as caught:
        await limit.admit(limited)
    assert caught.value.retry_after == 1
    await asyncio.sleep(0.6)
    assert await passed(limit, limited, 20) == 10


async def test_a_raised_limit_counts_at_once_and_a_lowered_one_lets_no_more_pass(db: Database, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(db)
    assert await passed(limit, limited, 20) == 10
    assert await passed(limit, replace(limited, rate_limit=15), 20) == 5
    assert await passed(limit, replace(limited, rate_limit=12), 20) == 0
    assert await passed(HourlyLimit(db), replace(limited, rate_limit=3), 20) == 0
    assert await limit.admit(replace(limited, rate_limit=0)) is None
    assert await passed(limit, replace(limited, rate_limit=16), 20) == 1


async def test_one_who_leaves_while_waiting_is_counted_and_harms_nobody(db: Database, limited: AuthenticatedKey) -> None:
    limit = HourlyLimit(db)
    tasks = [asyncio.create_task(limit.admit(limited)) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, *[RateState] * 9]
    assert await passed(limit, limited, 3) == 0


async def test_rotated_keys_share_one_window(db: Database, desk: Desk) -> None:
    issued = await desk.issue(rate_limit=10)
    old = await authenticated(db, issued.api_key)
    assert await passed(HourlyLimit(db), old, 6) == 6
    rotated = await desk.keys.rotate(desk.principal, old.id, timedelta(hours=1))
    new = await authenticated(db, rotated.api_key)
    assert new.family_id == old.family_id
    both, other = await asyncio.gather(passed(HourlyLimit(db), old, 20), passed(HourlyLimit(db), new, 20))
    assert both + other == 4


async def test_other_keys_have_windows_of_their_own(db: Database, desk: Desk, limited: AuthenticatedKey) -> None:
    other = await authenticated(db, (await desk.issue(rate_limit=10)).api_key)
    limit = HourlyLimit(db)
    counts = await asyncio.gather(passed(limit, limited, 30), passed(limit, other, 30))
    assert counts == [10, 10]


def test_the_fields_are_those_of_the_draft_and_those_that_clients_know() -> None:
    fields = headers(RateState(1000, 998, 3412))
    assert fields == {
        "RateLimit-Policy": '"hourly";q=1000;w=3600',
        "RateLimit": '"hourly";r=998;t=3412',
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": "998",
        "x-ratelimit-reset": "3412",
    }
    # an item with parameters, as RFC 9651 writes it
    assert all(re.fullmatch(r'"[ -~]*"(;[a-z*][a-z0-9_.*-]*=-?\d{1,15})*', fields[name]) for name in ("RateLimit", "RateLimit-Policy"))


async def age_window(owner: Connection, key: AuthenticatedKey, by: timedelta) -> None:
    await owner.execute("UPDATE rate_windows SET started_at = started_at - $2::interval WHERE family_id = $1", key.family_id, by)
