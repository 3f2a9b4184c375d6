from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest
from tests.access.access_scene import Line

from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import Unavailable

Ask = Callable[..., Awaitable[object]]

INSERT = "INSERT INTO replicas (id, host) VALUES ('r', 'h')"
COUNT = "SELECT count(*) FROM replicas"
SLOW_COMMIT = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON replicas DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


@pytest.fixture
async def far(line: Line) -> AsyncGenerator[Database]:
    db = await Database.connect(line.dsn, pool_size=2)
    yield db
    await db.close()


@pytest.fixture
async def one(dsn: str) -> AsyncGenerator[Database]:
    """With a single connection: whoever comes next gets the one that was used before."""
    db = await Database.connect(dsn, pool_size=1)
    yield db
    await db.close()


@pytest.fixture
async def slow_commit(owner: Connection) -> None:
    await owner.execute(SLOW_COMMIT)


async def seen(owner: Connection, statement: str) -> None:
    """Wait until a connection is at it."""
    while not await owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = $1", statement):
        await asyncio.sleep(0.01)


async def assert_clean(db: Database, owner: Connection) -> None:
    """Nothing was kept, no transaction is open, and what is written next commits at once."""
    assert await owner.fetchval(COUNT) == 0
    assert not await owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    async with db.connection() as connection:
        await connection.execute(INSERT)
        assert await owner.fetchval(COUNT) == 1
    assert await ask_in_transaction(db) == 1


async def ask_in_transaction(db: Database, statement: str = "SELECT 1") -> object:
    async with db.transaction() as connection:
        return await connection.fetchval(statement)


async def ask_by_connection(db: Database, statement: str = "SELECT 1") -> object:
    async with db.connection() as connection:
        return await connection.fetchval(statement)


WAYS = pytest.mark.parametrize("ask", [ask_in_transaction, ask_by_connection])


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
    while not await owner.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(30)'"
    ):
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


@WAYS
async def test_a_constraint_is_not_taken_for_an_absence(db: Database, ask: Ask) -> None:
    await ask(db, f"{INSERT} RETURNING 1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await ask(db, f"{INSERT} RETURNING 1")


async def test_a_transaction_keeps_all_or_nothing(db: Database, owner: Connection) -> None:
    with pytest.raises(KeyError):  # noqa: PT012 - the transaction is what is tested
        async with db.transaction() as connection:
            await connection.execute(INSERT)
            raise KeyError
    assert await owner.fetchval(COUNT) == 0
    async with db.transaction() as connection:
        await connection.execute(INSERT)
        assert await owner.fetchval(COUNT) == 0
    assert await owner.fetchval(COUNT) == 1


async def test_a_failed_transaction_leaves_its_connection_clean(one: Database, owner: Connection) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):  # noqa: PT012 - the transaction is what is tested
        async with one.transaction() as connection:
            await connection.execute(INSERT)
            await connection.execute(INSERT)
    await assert_clean(one, owner)


@pytest.mark.parametrize("statement", ["SELECT pg_sleep(30)", "SELECT pg_sleep(30) FROM replicas", "BEGIN"])
async def test_a_transaction_cancelled_in_the_middle_leaves_its_connection_clean(one: Database, owner: Connection, statement: str) -> None:
    async def change() -> None:
        async with one.transaction() as connection:
            await connection.execute(INSERT)
            await connection.execute(statement)
            await asyncio.sleep(30)

    task = asyncio.create_task(change())
    await seen(owner, statement)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_clean(one, owner)


@pytest.mark.usefixtures("slow_commit")
async def test_a_transaction_cancelled_while_it_commits_leaves_its_connection_clean(one: Database, owner: Connection) -> None:
    task = asyncio.create_task(ask_in_transaction(one, INSERT))
    await seen(owner, "COMMIT")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await owner.execute("DROP TRIGGER slow ON replicas")
    await assert_clean(one, owner)


@pytest.mark.usefixtures("slow_commit")
async def test_a_connection_lost_while_it_commits_is_unavailable(one: Database, owner: Connection) -> None:
    task = asyncio.create_task(ask_in_transaction(one, INSERT))
    await seen(owner, "COMMIT")
    await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT'")
    with pytest.raises(Unavailable):
        await task
    await owner.execute("DROP TRIGGER slow ON replicas")
    await assert_clean(one, owner)


@WAYS
async def test_a_database_that_falls_silent_holds_nobody_who_has_given_up(far: Database, line: Line, ask: Ask) -> None:
    await asyncio.gather(ask(far), ask(far))
    line.hold()
    for _ in range(3):
        given_up = asyncio.ensure_future(ask(far))
        await asyncio.sleep(0.3)
        given_up.cancel()
        # a second for rolling back, another for handing the connection back
        assert await asyncio.wait([given_up], timeout=8) == ({given_up}, set())
    await line.cut()
    await line.mend()
    assert await ask(far) == 1


async def test_a_statement_is_given_up_where_the_database_fell_silent(line: Line) -> None:
    db = await Database.connect(line.dsn, pool_size=1, statement_timeout=timedelta(seconds=1))
    try:
        assert await ask_by_connection(db) == 1
        line.hold()
        with pytest.raises(Unavailable, match="not answering"):
            await ask_by_connection(db)
    finally:
        await line.cut()
        await line.mend()
        await db.close()


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
    for ask in (ask_in_transaction, ask_by_connection):
        assert await ask(db, "SELECT current_user::text") == "pointsman_service"
        assert await ask(db, "SELECT current_setting('timezone')") == "UTC"
