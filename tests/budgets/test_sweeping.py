"""Reservations of runs that have ended or never were are given back; those of live runs stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest
from tests.prompts.catalogue_app import at_once
from tests.runs.run_scene import until
from tests.sessions.session_scene import Talk, talking

from pointsman.bootstrap import Gateway
from pointsman.budgets import queries
from pointsman.budgets.reserving import Ask, Line, Reserver
from pointsman.budgets.rows import NewBudget, Unit
from pointsman.budgets.settling import sweep
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings

LIVE, ENDED = ("pending", "running", "paused"), ("completed", "failed", "cancelled")


@pytest.fixture
async def talk(db: Database) -> AsyncGenerator[Talk]:
    async with talking(db) as talk:
        yield talk


@pytest.fixture
async def reserver(db: Database) -> AsyncGenerator[Reserver]:
    async with writing(Reserver(db)) as reserver:
        yield reserver


@asynccontextmanager
async def writing(reserver: Reserver) -> AsyncGenerator[Reserver]:
    loop = asyncio.create_task(reserver.run())
    try:
        yield reserver
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def made(owner: Connection, tenant: str, unit: Unit = "tokens") -> int:
    new = NewBudget(tenant, f"{tenant}-budget", None, "tenant", tenant, None, unit, "day", by_operator=True)
    return await queries.insert_budget(owner, new, Decimal(10_000))


async def swept(db: Database) -> int:
    async with db.connection() as connection:
        return await sweep(connection)


async def reserved(owner: Connection, number: int) -> Decimal:
    return await owner.fetchval("SELECT reserved FROM budget_counters WHERE number = $1", number)


async def opened(talk: Talk, owner: Connection, status: str, session: str) -> str:
    """A run whose row says so."""
    run_id = await talk.open(session)
    await owner.execute("UPDATE runs SET status = $1 WHERE id = $2", status, run_id)
    return run_id


async def test_the_sweep_gives_back_what_ended_and_unknown_runs_hold_and_leaves_the_live(
    db: Database, owner: Connection, talk: Talk, reserver: Reserver
) -> None:
    tokens, dollars = await made(owner, "acme"), await made(owner, "beta", "cost")
    live = [await opened(talk, owner, status, status) for status in LIVE]
    over = [await opened(talk, owner, status, status) for status in ENDED] + ["run_never_was"]
    for power, run_id in enumerate(live + over):
        for slot in (1, 2):
            ask = Ask(run_id, 1, slot, (Line(tokens, Decimal(2**power)), Line(dollars, Decimal("0.125"))))
            assert await reserver.reserve(ask) is None
    assert (await reserved(owner, tokens), await reserved(owner, dollars)) == (2 * 127, Decimal("1.75"))
    assert await swept(db) == 4 * 2 * 2
    assert (await reserved(owner, tokens), await reserved(owner, dollars)) == (2 * 7, Decimal("0.75"))
    rows = await owner.fetch("SELECT DISTINCT run_id FROM budget_reservations")
    assert {row["run_id"] for row in rows} == set(live)
    assert await swept(db) == 0
    assert await owner.fetchval("SELECT sum(spent) FROM budget_counters") == 0


async def test_sweeps_that_race_with_reservations_lose_nothing_and_give_back_nothing_twice(
    db: Database, owner: Connection, talk: Talk, reserver: Reserver
) -> None:
    first, second = await made(owner, "acme"), await made(owner, "beta")
    live, over = await opened(talk, owner, "running", "live"), await opened(talk, owner, "failed", "over")
    async with writing(Reserver(db)) as other:

        async def reserve(one: Reserver, run_id: str, slots: range) -> None:
            for slot in slots:
                assert await one.reserve(Ask(run_id, 1, slot, (Line(first, Decimal(3)), Line(second, Decimal(5))))) is None

        async def sweep_often() -> None:
            for _ in range(40):
                await swept(db)

        reservations = [
            lambda one=one, run_id=run_id, slots=slots: reserve(one, run_id, slots)
            for one, slots in ((reserver, range(40)), (other, range(40, 80)))
            for run_id in (live, over)
        ]
        assert await at_once(*reservations, sweep_often, sweep_often) == [None] * 6
    await swept(db)
    assert (await reserved(owner, first), await reserved(owner, second)) == (80 * 3, 80 * 5)
    assert await owner.fetchval("SELECT count(*) FROM budget_reservations WHERE run_id = $1", live) == 160


async def test_a_gateway_that_starts_sweeps_at_once(dsn: str, owner: Connection, settings: Settings, reserver: Reserver) -> None:
    number = await made(owner, "acme")
    assert await reserver.reserve(Ask("run_of_the_dead", 1, 1, (Line(number, Decimal(7)),))) is None
    gateway = await Gateway.open(settings, dsn)
    try:
        await gateway.start()

        async def is_free() -> bool:
            return await reserved(owner, number) == 0

        await until(is_free)
    finally:
        await gateway.close()
