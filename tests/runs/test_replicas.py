from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from tests.access.access_scene import Line
from tests.prompts.catalogue_app import at_once
from tests.runs.run_scene import until
from tests.sessions.session_scene import Talk

from pointsman.kit.db import Connection, Database, Record
from pointsman.runs import queries
from pointsman.runs.live import BLOCK
from pointsman.runs.replicas import Heartbeat, Rescue

BEAT, DEAD = timedelta(milliseconds=100), timedelta(seconds=1.5)


class Replica:
    """A process as the others see it: a heart, and what it took over."""

    def __init__(self, db: Database, dsn: str, dead_after: timedelta) -> None:
        self.heart = Heartbeat(dsn, BEAT)
        self.took: list[Record] = []
        self.rescue = Rescue(db, self.heart, dead_after=dead_after, redrive=self.took.append)

    @property
    def name(self) -> str:
        return self.heart.replica

    @property
    def ids(self) -> list[str]:
        return [run["id"] for run in self.took]


@asynccontextmanager
async def living(db: Database, dsn: str, looking_for: timedelta | None = None) -> AsyncGenerator[Replica]:
    """A replica whose heart beats; it looks for those that are silent for this long, unless the test does it."""
    replica = Replica(db, dsn, looking_for or DEAD)
    await asyncio.to_thread(replica.heart.start)
    loop = asyncio.create_task(replica.rescue.run()) if looking_for else None
    try:
        yield replica
    finally:
        if loop is not None:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
        await asyncio.to_thread(replica.heart.stop)


@asynccontextmanager
async def far(dsn: str) -> AsyncGenerator[Database]:
    db = await Database.connect(dsn, pool_size=4)
    try:
        yield db
    finally:
        await db.close()


async def open_runs(talk: Talk, owner: Connection, replica: str | None, count: int, prefix: str = "s") -> list[str]:
    made = [await talk.open(f"{prefix}{number}") for number in range(count)]
    await owner.execute("UPDATE runs SET replica = $1 WHERE id = ANY($2::varchar[])", replica, made)
    return made


async def row(owner: Connection, run_id: str) -> Record:
    found = await owner.fetchrow("SELECT * FROM runs WHERE id = $1", run_id)
    assert found is not None
    return found


async def test_the_runs_of_a_dead_replica_are_taken_over_once_by_rescuers_that_race(
    db: Database, dsn: str, talk: Talk, owner: Connection
) -> None:
    async with living(db, dsn) as one, living(db, dsn) as other:
        for turn in range(5):
            made = await open_runs(talk, owner, "rep_dead", 20, f"t{turn}_")
            one.took.clear()
            other.took.clear()
            counts = await at_once(*(lambda replica=replica: replica.rescue.run_once() for replica in (one, other, one, other)))
            assert sum(counts) == 20
            assert sorted(one.ids + other.ids) == sorted(made)
            for replica in (one, other):
                for run in replica.took:
                    assert (run["epoch"], run["reserved_seq"]) == (2, 2 * BLOCK)
                    assert (await row(owner, run["id"]))["replica"] == replica.name


async def test_the_runs_of_a_living_replica_are_its_own(db: Database, dsn: str, talk: Talk, owner: Connection) -> None:
    async with living(db, dsn) as one, living(db, dsn) as other:
        [mine] = await open_runs(talk, owner, one.name, 1)
        assert [await replica.rescue.run_once() for replica in (one, other)] == [0, 0]
        assert await other.rescue.run_once(mine) == 0
        await asyncio.to_thread(one.heart.stop)
        assert await other.rescue.run_once() == 0  # not yet silent for long enough
        await until(other.rescue.run_once)
        assert other.ids == [mine]


async def test_a_run_that_was_let_go_of_is_free_at_once(db: Database, dsn: str, talk: Talk, owner: Connection) -> None:
    async with living(db, dsn) as one, living(db, dsn) as other:
        first, second, third = await open_runs(talk, owner, one.name, 3)
        async with db.connection() as connection:
            await queries.let_go(connection, first, 7, cancel=False)  # of another epoch: not its owner any more
            assert await other.rescue.run_once() == 0
            await queries.let_go(connection, first, 1, cancel=False)
            assert await other.rescue.run_once(second) == 0
            assert await other.rescue.run_once(first) == 1
            await queries.leave(connection, one.name)
        assert await other.rescue.run_once() == 2
        assert sorted(other.ids) == sorted([first, second, third])


async def test_runs_that_have_ended_stay_ended(db: Database, dsn: str, talk: Talk, owner: Connection) -> None:
    async with living(db, dsn) as one:
        made = await open_runs(talk, owner, "rep_dead", 4)
        for run_id, status in zip(made, ("completed", "failed", "cancelled", "paused"), strict=True):
            await owner.execute("UPDATE runs SET status = $1 WHERE id = $2", status, run_id)
        assert await one.rescue.run_once() == 0


async def test_the_former_owner_writes_nothing_any_more(db: Database, dsn: str, talk: Talk, owner: Connection) -> None:
    async with living(db, dsn) as one:
        [run_id] = await open_runs(talk, owner, "rep_dead", 1)
        assert await one.rescue.run_once() == 1
        assert not await talk.end(run_id, "s0")
        assert (await row(owner, run_id))["status"] == "running"
        assert await owner.fetchval("SELECT count(*) FROM token_usage") == 0
        assert await talk.end(run_id, "s0", epoch=2)
        assert await talk.end(run_id, "s0", epoch=2)  # repeated, it is still this owner's end
        assert (await row(owner, run_id))["status"] == "completed"
        assert await owner.fetchval("SELECT count(*) FROM token_usage") == 1


async def test_after_an_outage_nobody_takes_the_runs_of_the_living(talk: Talk, owner: Connection, line: Line, other_line: Line) -> None:
    silence = timedelta(seconds=2.5)
    async with (
        far(line.dsn) as db,
        far(other_line.dsn) as other_db,
        living(db, line.dsn, silence) as one,
        living(other_db, other_line.dsn, silence) as other,
    ):
        mine = await open_runs(talk, owner, one.name, 2, "one")
        await open_runs(talk, owner, other.name, 2, "other")
        await line.cut()
        await other_line.cut()
        await asyncio.sleep(3)  # nobody's last beat is fresh any more
        assert (one.heart.unbroken_for(), other.heart.unbroken_for()) == (0, 0)
        await other_line.mend()
        await asyncio.sleep(1.3)  # it is back first, and has looked at least once
        await line.mend()
        await until(lambda: min(one.heart.unbroken_for(), other.heart.unbroken_for()) > 3.7)
        assert (one.took, other.took) == ([], [])
        await asyncio.to_thread(one.heart.stop)
        await until(lambda: len(other.took) == 2)
        assert sorted(other.ids) == sorted(mine)


async def test_a_busy_loop_is_no_death(db: Database, dsn: str, owner: Connection) -> None:
    async with living(db, dsn) as one:
        time.sleep(1)  # the event loop does nothing meanwhile
        silent = await owner.fetchval("SELECT extract(epoch FROM clock_timestamp() - seen_at) FROM replicas WHERE id = $1", one.name)
        assert silent < 0.9


async def test_a_heart_survives_what_the_server_refuses(db: Database, dsn: str, owner: Connection) -> None:
    async with living(db, dsn) as one:
        await owner.execute("REVOKE INSERT ON replicas FROM pointsman_service")
        await until(lambda: one.heart.unbroken_for() == 0)
        await owner.execute("GRANT INSERT ON replicas TO pointsman_service")
        await until(lambda: one.heart.unbroken_for() > 0)


async def test_a_heart_survives_a_line_that_falls_silent(db: Database, line: Line) -> None:
    async with living(db, line.dsn) as one:
        line.hold()
        await until(lambda: one.heart.unbroken_for() == 0)
        await line.cut()
        await line.mend()
        await until(lambda: one.heart.unbroken_for() > 0)


async def test_replicas_that_are_long_gone_are_forgotten(db: Database, dsn: str, owner: Connection) -> None:
    await owner.execute(
        "INSERT INTO replicas (id, host, seen_at) VALUES ('old', 'h', now() - interval '2 days'), ('new', 'h', now() - interval '1 h')"
    )
    async with living(db, dsn) as one:
        await one.rescue.run_once()
        rows: list[Any] = await owner.fetch("SELECT id FROM replicas")
        assert sorted(found["id"] for found in rows) == sorted(["new", one.name])
