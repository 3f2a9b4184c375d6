from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.access.access_scene import Line

from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

Ask = Callable[..., Awaitable[object]]


@pytest.fixture
async def far(line: Line) -> AsyncGenerator[Database]:
    db = await Database.connect(line.dsn, pool_size=2)
    yield db
    await db.close()


async def ask_by_session(db: Database, statement: str = "SELECT 1") -> object:
    async with db.transaction() as session:
        return (await session.execute(text(statement))).scalar()


async def ask_reading(db: Database, statement: str = "SELECT 1") -> object:
    async with db.reading() as session:
        return (await session.execute(text(statement))).scalar()


async def ask_by_connection(db: Database, statement: str = "SELECT 1") -> object:
    async with db.connection() as connection:
        return await connection.fetchval(statement)


WAYS = pytest.mark.parametrize("ask", [ask_by_session, ask_reading, ask_by_connection])


@WAYS
async def test_a_database_that_is_away_is_unavailable_and_back_when_it_is_back(far: Database, line: Line, ask: Ask) -> None:
    assert await ask(far) == 1
    await line.cut()
    for _ in range(3):  # the idle connections, then those that cannot be made
        with pytest.raises(Unavailable) as refused:
            await ask(far)
        assert refused.value.retry_after == 1
    await line.mend()
    assert await ask(far) == 1


@WAYS
async def test_a_server_that_ends_the_connection_is_unavailable(db: Database, owner: Connection, ask: Ask) -> None:
    slow = asyncio.ensure_future(ask(db, "SELECT pg_sleep(30)"))
    while not await owner.fetchval("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"):
        await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await slow
    assert await ask(db) == 1


@WAYS
async def test_a_statement_that_takes_too_long_is_cut_and_the_problem_names_the_setting(dsn: str, ask: Ask) -> None:
    db = await Database.connect(dsn, pool_size=2, statement_timeout=timedelta(milliseconds=100))
    try:
        with pytest.raises(Unavailable, match="POINTSMAN_DATABASE__STATEMENT_TIMEOUT"):
            await ask(db, "SELECT pg_sleep(30)")
        assert await ask(db) == 1
    finally:
        await db.close()


async def test_a_value_that_the_driver_refuses_is_not_taken_for_an_absence(db: Database) -> None:
    with pytest.raises(asyncpg.DataError, match="int32"):
        async with db.connection() as connection:
            await connection.fetchval("SELECT $1::int", 2**40)


async def test_a_constraint_is_not_taken_for_an_absence(db: Database) -> None:
    insert = "INSERT INTO replicas (id, host) VALUES ('r', 'h')"
    await ask_by_session(db, f"{insert} RETURNING 1")
    with pytest.raises(IntegrityError):
        await ask_by_session(db, f"{insert} RETURNING 1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await ask_by_connection(db, insert)


async def test_a_transaction_keeps_all_or_nothing_and_a_reader_keeps_nothing(db: Database, owner: Connection) -> None:
    insert = text("INSERT INTO replicas (id, host) VALUES ('r', 'h')")
    with pytest.raises(KeyError):  # noqa: PT012 - the transaction is what is tested
        async with db.transaction() as session:
            await session.execute(insert)
            raise KeyError
    async with db.reading() as session:
        await session.execute(insert)
    assert await owner.fetchval("SELECT count(*) FROM replicas") == 0
    async with db.transaction() as session:
        await session.execute(insert)
    assert await owner.fetchval("SELECT count(*) FROM replicas") == 1


async def test_a_full_pool_is_counted_and_a_caller_is_not_kept_for_ever(dsn: str) -> None:
    db = await Database.connect(dsn, pool_size=2)
    try:
        async with db.connection(), db.connection():
            assert db.connections_in_use() == 2
            with pytest.raises(Unavailable):
                async with asyncio.timeout(8), db.connection():
                    pass
        assert db.connections_in_use() == 0
    finally:
        await db.close()


async def test_services_act_as_the_lesser_role_and_in_utc(db: Database) -> None:
    for ask in (ask_by_session, ask_by_connection):
        assert await ask(db, "SELECT current_user::text") == "pointsman_service"
        assert await ask(db, "SELECT current_setting('timezone')") == "UTC"
