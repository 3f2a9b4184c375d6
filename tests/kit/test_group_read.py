from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from pointsman.kit.db import Connection, Database
from pointsman.kit.group_read import GroupRead
from pointsman.kit.problems import Unavailable

THINGS = "SELECT id, value FROM things WHERE id = ANY($1)"


class Shelf:
    """Reads rows, and notes what each query asked for; a query waits at its end while it is held."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def read(self, connection: Connection, ids: Sequence[str]) -> dict[str, int]:
        self.asked.append(sorted(ids))
        rows = {row["id"]: row["value"] for row in await connection.fetch(THINGS, list(ids))}
        await self.hold.wait()
        return rows


@pytest.fixture
async def things(owner: Connection) -> Connection:
    await owner.execute("CREATE TABLE things (id text PRIMARY KEY, value int)")
    await owner.execute("GRANT ALL ON things TO pointsman_service")
    await owner.execute("INSERT INTO things VALUES ('a', 1), ('b', 2)")
    return owner


async def until_asked(shelf: Shelf, queries: int) -> None:
    async with asyncio.timeout(5):
        while len(shelf.asked) < queries:
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("things")
async def test_readers_that_come_while_a_query_is_under_way_share_the_next_one(db: Database) -> None:
    shelf = Shelf()
    reads = GroupRead(db, shelf.read)
    shelf.hold.clear()
    first = asyncio.create_task(reads.find("a"))
    await until_asked(shelf, 1)
    others = [asyncio.create_task(reads.find(key)) for key in ("a", "b", "none", "b")]
    await asyncio.sleep(0)
    shelf.hold.set()
    assert await asyncio.gather(first, *others) == [1, 1, 2, None, 2]
    assert shelf.asked == [["a"], ["a", "b", "none"]]


async def test_a_reader_sees_what_was_committed_before_it_asked_even_if_a_query_is_under_way(db: Database, things: Connection) -> None:
    shelf = Shelf()
    reads = GroupRead(db, shelf.read)
    shelf.hold.clear()
    early = asyncio.create_task(reads.find("a"))
    await until_asked(shelf, 1)
    await asyncio.sleep(0.05)  # its rows are read, its end is held
    await things.execute("UPDATE things SET value = 7 WHERE id = 'a'")
    late = asyncio.create_task(reads.find("a"))
    await asyncio.sleep(0)
    shelf.hold.set()
    assert (await early, await late) == (1, 7)


@pytest.mark.usefixtures("things")
async def test_a_reader_that_leaves_takes_nobody_along(db: Database) -> None:
    shelf = Shelf()
    reads = GroupRead(db, shelf.read)
    shelf.hold.clear()
    leaving, staying = asyncio.create_task(reads.find("a")), asyncio.create_task(reads.find("b"))
    await until_asked(shelf, 1)
    leaving.cancel()
    await asyncio.sleep(0)
    shelf.hold.set()
    assert await staying == 2


@pytest.mark.usefixtures("things")
async def test_a_database_that_is_away_fails_the_readers_of_one_query_and_not_those_of_the_next(db: Database) -> None:
    shelf = Shelf()
    outages = [ConnectionResetError()]

    async def read(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
        if outages:
            raise outages.pop()
        return await shelf.read(connection, ids)

    reads = GroupRead(db, read)
    with pytest.raises(Unavailable):
        await reads.find("a")
    assert await reads.find("a") == 1
