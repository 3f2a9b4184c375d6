from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from tests.access.access_scene import Line

from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import Listener, notify


class Ear:
    """What a subscriber was told."""

    def __init__(self, listener: Listener, *topics: str) -> None:
        self.told: asyncio.Queue[tuple[str, str | None]] = asyncio.Queue()
        for topic in topics:
            listener.subscribe(topic, lambda name, topic=topic: self.told.put_nowait((topic, name)))

    async def next(self, seconds: float = 10) -> tuple[str, str | None]:
        async with asyncio.timeout(seconds):
            return await self.told.get()


@asynccontextmanager
async def listening(listener: Listener) -> AsyncGenerator[None]:
    loop = asyncio.create_task(listener.run())
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def test_what_a_transaction_says_is_heard_once_it_commits(db: Database, dsn: str) -> None:
    listener = Listener(dsn)
    ear = Ear(listener, "agents", "keys")
    async with listening(listener):
        assert {await ear.next(), await ear.next()} == {("agents", None), ("keys", None)}
        with pytest.raises(KeyError):  # noqa: PT012 - the transaction is what is tested
            async with db.transaction() as connection:
                await notify(connection, "agents", "never")
                raise KeyError
        async with db.transaction() as connection:
            await notify(connection, "nobody.asked", "x")
            await notify(connection, "agents", "a:b:c")
            await notify(connection, "keys", 7)
            assert ear.told.empty()
        assert [await ear.next(), await ear.next()] == [("agents", "a:b:c"), ("keys", "7")]


async def test_after_the_connection_was_lost_everything_may_have_changed(db: Database, dsn: str, owner: Connection) -> None:
    listener = Listener(dsn)
    ear = Ear(listener, "agents")
    async with listening(listener):
        assert await ear.next() == ("agents", None)
        await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'")
        assert await ear.next() == ("agents", None)
        async with db.transaction() as connection:
            await notify(connection, "agents", "again")
        assert await ear.next() == ("agents", "again")


async def test_a_database_that_is_away_at_first_is_listened_to_once_it_is_there(db: Database, line: Line) -> None:
    await line.cut()
    listener = Listener(line.dsn)
    ear = Ear(listener, "agents")
    async with listening(listener):
        await asyncio.sleep(0.2)
        assert ear.told.empty()
        await line.mend()
        assert await ear.next() == ("agents", None)
        async with db.transaction() as connection:
            await notify(connection, "agents", "x")
        assert await ear.next() == ("agents", "x")


async def test_a_line_that_falls_silent_is_given_up(db: Database, line: Line) -> None:
    listener = Listener(line.dsn, silence=0.3)
    ear = Ear(listener, "agents")
    async with listening(listener):
        assert await ear.next() == ("agents", None)
        line.hold()
        await asyncio.sleep(1.5)
        await line.cut()
        await line.mend()
        assert await ear.next() == ("agents", None)
        async with db.transaction() as connection:
            await notify(connection, "agents", "x")
        assert await ear.next() == ("agents", "x")
