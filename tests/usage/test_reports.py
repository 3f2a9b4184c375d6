from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import AsyncGenerator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import client_of
from tests.usage.usage_scene import START, Books, Spent, principal, random_rows, spent, summed

from pointsman.kit.db import Connection, Database
from pointsman.llm.port import Usage
from pointsman.usage.queries import Filters
from pointsman.usage.routes import router
from pointsman.usage.schemas import GROUPS, Group, UsageReport
from pointsman.usage.service import UsageService, as_csv

OPERATOR = principal()
ALL = Filters(None)
DAY = dt.timedelta(days=1)


@pytest.fixture
def usage(db: Database) -> UsageService:
    return UsageService(db)


@pytest.fixture
async def api(usage: UsageService) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(router, services={UsageService: usage}) as client:
        yield client


def items(report: UsageReport) -> list[dict[str, Any]]:
    return [item.model_dump() for item in report.items]


GROUPINGS: list[tuple[Group, ...]] = [*((group,) for group in GROUPS), ("day", "agent_id"), ("tenant_id", "model", "key_id"), GROUPS]


async def test_every_grouping_adds_up_to_the_last_token(books: Books, usage: UsageService) -> None:
    await books.write(*random_rows(400))
    [everything] = summed(books.rows, ())
    for groups in GROUPINGS:
        report = await usage.report(OPERATOR, ALL, groups)
        assert [exactly(item) for item in items(report)] == [exactly(item) for item in summed(books.rows, groups)]
        assert exactly(report.total.model_dump()) == exactly(everything)


def exactly(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"cost": f"{item['cost']:.9f}"}


FILTERS: list[tuple[str, Any]] = [
    *(("agent_id", "agent2"), ("session_id", "session7"), ("user_id", "ann")),
    *(("model", "mine:llama"), ("key_id", 2), ("agent_id", "nobody")),
]


async def test_every_filter_leaves_exactly_its_rows(books: Books, usage: UsageService) -> None:
    await books.write(*random_rows(200))
    for name, value in FILTERS:
        report = await usage.report(OPERATOR, ALL._replace(**{name: value}), ("day",))
        rows = [one for one in books.rows if one.value(name) == value]
        assert [exactly(item) for item in items(report)] == [exactly(item) for item in summed(rows, ("day",))]
        assert report.total.calls == len(rows)


async def test_a_tenant_sees_its_own_calls_and_an_operator_all_or_those_of_the_tenant_it_names(books: Books, usage: UsageService) -> None:
    await books.write(*random_rows(120))
    for who, tenants in (
        (principal(owner="acme"), {"acme"}),
        (principal(owner="nobody"), set[str]()),
        (principal(), {"", "acme", "globex"}),
        (principal(tenant="globex"), {"globex"}),
    ):
        report = await usage.report(who, ALL._replace(tenant="globex"), ("tenant_id",))
        rows = [one for one in books.rows if one.row.tenant_id in tenants]
        assert [exactly(item) for item in items(report)] == [exactly(item) for item in summed(rows, ("tenant_id",))]
        assert report.total.calls == len(rows)


async def test_without_calls_the_report_is_empty_and_its_total_zero(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v2/usage?group_by=day")
    zero = dict.fromkeys(answer.json()["total"], 0)
    assert answer.json() == {"items": [], "total": zero}
    assert (await api.get("/v2/usage?group_by=day&format=csv")).text.count("\n") == 1


HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ("", [0, 1, 23, 24, 47, 48]),
        ("from=2026-03-02", [24, 47, 48]),
        ("to=2026-03-01", [0, 1, 23]),
        ("from=2026-03-02&to=2026-03-02", [24, 47]),
        ("from=2026-03-01T01:00:00Z", [1, 23, 24, 47, 48]),
        ("to=2026-03-01T01:00:00Z", [0]),
        ("from=2026-03-02T01:00:00%2B01:00&to=2026-03-03T01:00:00%2B01:00", [24, 47]),
        ("from=2026-03-01T01:00:00.000001Z", [23, 24, 47, 48]),
        ("from=2026-03-03&to=2026-03-02", []),
        ("from=1970-01-01&to=9998-12-31", [0, 1, 23, 24, 47, 48]),
    ],
)
async def test_from_and_to_are_days_or_moments(books: Books, api: httpx.AsyncClient, query: str, hours: list[int]) -> None:
    for number, hour in enumerate([0, 1, 23, 24, 47, 48]):
        await books.write(spent(number, at=START + hour * HOUR, usage=Usage(prompt_tokens=2**number)))
    answer = (await api.get(f"/v2/usage?{query}")).json()
    assert answer["total"]["prompt_tokens"] == sum(2**number for number, hour in enumerate([0, 1, 23, 24, 47, 48]) if hour in hours)


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "2026-02-30", "2026-03-01T00:00:00", "2026-03-01T10:00", "1772323200", "20260301", "0", "2026-03-01 00:00:00Z"),
        *("9999-12-31", "0001-01-01", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "-1", "inf", "2026-03-01T25:00:00Z"),
    ],
)
async def test_what_is_neither_a_day_nor_a_moment_is_refused(api: httpx.AsyncClient, name: str, value: str) -> None:
    answer = await api.get(f"/v2/usage?{name}={value}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), answer.text
    assert {error["pointer"] for error in answer.json()["errors"]} == {f"/query/{name}"}


@pytest.mark.parametrize("groups", ["week", "day,agent", "day,day", "day,,model", ",", "DAY", "day;drop table token_usage"])
async def test_an_unknown_group_is_refused_with_those_that_exist(api: httpx.AsyncClient, groups: str) -> None:
    answer = await api.get("/v2/usage", params={"group_by": groups})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/query/group_by"
    assert all(group in error["message"] for group in GROUPS)


@pytest.mark.parametrize("query", ["key_id=x", "key_id=2147483648", "format=xml", "agent_id=" + "a" * 256])
async def test_a_filter_that_cannot_be_is_refused(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.get(f"/v2/usage?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/query/{query.partition('=')[0]}")


async def test_the_report_on_the_wire(books: Books, api: httpx.AsyncClient) -> None:
    await books.write(
        spent(1, model="openai:gpt-4o", usage=Usage(100, 20, 30, 0, 7), cost=Decimal("0.000450001"), user_id="ann"),
        spent(2, at=START + DAY, model="mine:llama", usage=Usage(5, 6, is_estimated=True)),
    )
    answer = await api.get("/v2/usage?group_by=day,user_id, model")
    assert answer.status_code == 200
    one = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 30, "reasoning_tokens": 7}
    other = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "cached_tokens": 0, "reasoning_tokens": 0}
    assert answer.json() == {
        "items": [
            {"day": "2026-03-01", "user_id": "ann", "model": "openai:gpt-4o"}
            | one
            | {"cost": 0.000450001, "calls": 1, "estimated_calls": 0, "unpriced_calls": 0},
            {"day": "2026-03-02", "user_id": None, "model": "mine:llama"}
            | other
            | {"cost": 0.0, "calls": 1, "estimated_calls": 1, "unpriced_calls": 1},
        ],
        "total": {name: one[name] + other[name] for name in one}
        | {"cost": 0.000450001, "calls": 2, "estimated_calls": 1, "unpriced_calls": 1},
    }


async def test_the_same_as_csv(books: Books, api: httpx.AsyncClient) -> None:
    await books.write(*random_rows(60))
    answer = await api.get("/v2/usage?group_by=day,agent_id&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    read = list(csv.DictReader(io.StringIO(answer.text)))
    wanted = (await api.get("/v2/usage?group_by=day,agent_id")).json()["items"]
    assert read == [{name: str(value) for name, value in item.items()} for item in wanted]
    assert [float(row["cost"]) for row in read] == [item["cost"] for item in wanted]


async def test_csv_without_groups_is_the_total(books: Books, api: httpx.AsyncClient) -> None:
    await books.write(*random_rows(10))
    [row] = csv.DictReader(io.StringIO((await api.get("/v2/usage?format=csv")).text))
    assert row["calls"] == "10"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", '=HYPERLINK("http://x","y")', "\n=1"])
async def test_no_value_in_the_csv_is_a_formula(books: Books, usage: UsageService, name: str) -> None:
    await books.write(spent(1, user_id=name))
    report = await usage.report(OPERATOR, ALL, ("user_id",))
    [cell] = [row["user_id"] for row in csv.DictReader(io.StringIO(as_csv(report, ("user_id",)), newline=""))]
    assert cell == f"'{name}"


async def test_ordinary_values_stand_in_the_csv_as_they_are(books: Books, usage: UsageService) -> None:
    names = ["ann, the first", 'an "ann"', "new\nline", "ünïcode", "a=b"]
    await books.write(*(spent(number, user_id=name) for number, name in enumerate(names)))
    report = await usage.report(OPERATOR, ALL, ("user_id",))
    read = csv.DictReader(io.StringIO(as_csv(report, ("user_id",)), newline=""))
    assert sorted(row["user_id"] for row in read) == sorted(names)


async def test_a_report_without_bounds_is_refused_rather_than_cut(books: Books, owner: Connection, api: httpx.AsyncClient) -> None:
    del books
    await seed_many(owner, 10_001, sessions=10_001)
    answer = await api.get("/v2/usage?group_by=session_id")
    assert answer.json()["errors"] == [{"pointer": "/query/group_by", "message": "That makes more than 10000 groups."}]
    assert (await api.get("/v2/usage?group_by=day")).json()["total"]["calls"] == 10_001


async def test_a_report_of_a_day_or_a_session_does_not_read_the_whole_table(db: Database, owner: Connection, usage: UsageService) -> None:
    await seed_many(owner, 100_000, sessions=5_000)
    await owner.execute("ANALYZE token_usage, usage_details")
    for filters, most in ((ALL._replace(since=START + 9 * DAY), 10_100), (ALL._replace(session_id="s7"), 100)):
        before = await rows_read(owner)
        report = await usage.report(OPERATOR, filters, ("agent_id",))
        assert report.total.calls > 0
        await flushed_statistics(db)
        assert await rows_read(owner) - before <= 2 * most  # the total and the groups


async def test_the_numbers_of_the_table_are_watched(owner: Connection, usage: UsageService) -> None:
    assert await usage.ids_used() == 0
    for number, fraction in ((-(2**31) + 2**30, 0.25), (0, 0.5), (2**31 - 1, 1.0)):
        await owner.execute(f"SELECT setval('token_usage_id_seq', {number})")
        assert await usage.ids_used() == pytest.approx(fraction, abs=1e-6)


async def test_rows_are_counted_once_however_often_they_are_written(books: Books, usage: UsageService) -> None:
    row = spent(1, usage=Usage(3, 4))
    assert await books.write(row) == 1
    assert await books.write(row, Spent(row.row._replace(call=1), row.at)) == 1
    report = await usage.report(OPERATOR, ALL, ())
    assert (report.total.calls, report.total.total_tokens) == (2, 14)


async def test_absurd_counts_of_a_provider_do_not_cost_the_row(books: Books, usage: UsageService) -> None:
    await books.write(spent(1, usage=Usage(2**31 - 1, 2**31 - 1)), spent(2, usage=Usage(2**63, 2**40, 2**33, 2**33, 2**33)))
    report = await usage.report(OPERATOR, ALL, ())
    assert (report.total.calls, report.total.prompt_tokens, report.total.total_tokens) == (2, 2 * (2**31 - 1), 2 * (2**31 - 1))


async def test_the_days_are_those_of_utc(books: Books, usage: UsageService) -> None:
    moments = [START + DAY - dt.timedelta(microseconds=1), START + DAY]
    await books.write(*(spent(number, at=at) for number, at in enumerate(moments)))
    days = [item.model_dump()["day"] for item in (await usage.report(OPERATOR, ALL, ("day",))).items]
    assert days == ["2026-03-01", "2026-03-02"]
    assert all(one < other for one, other in pairwise(days))


async def seed_many(owner: Connection, count: int, *, sessions: int) -> None:
    """Ten days of calls, in the order of time."""
    await owner.execute(
        f"""
        WITH made AS (
            INSERT INTO token_usage (agent_id, session_id, user_id, model, prompt_tokens, completion_tokens, total_tokens, created_at)
            SELECT 'a' || n % 20, 's' || n % {sessions}, 'u' || n % 50, 'openai:m', 1, 1, 2,
                   timestamptz '2026-03-01Z' + n * interval '10 d' / {count}
            FROM generate_series(0, {count - 1}) n RETURNING id
        )
        INSERT INTO usage_details (usage_id, run_id, call, tenant_id, latency_ms)
        SELECT id, 'r' || id, 0, 't' || (id % 10 + 10) % 10, 1 FROM made
        """
    )


async def rows_read(owner: Connection) -> int:
    """Rows of token_usage that statements have read so far, by index or not."""
    await owner.execute("SELECT pg_stat_clear_snapshot()")
    row = await owner.fetchrow(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables WHERE relname = 'token_usage'"
    )
    assert row is not None
    return row["read"]


async def flushed_statistics(db: Database) -> None:
    """A session tells its counters at once when asked to."""
    async with db.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
