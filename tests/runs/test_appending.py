"""Events of runs that many write to: each has its own number, in the order in which they became true."""

from __future__ import annotations

import asyncio

from tests.sessions.session_scene import Talk, talking

from pointsman.kit.db import Connection, Database
from pointsman.runs.appending import append, append_all
from pointsman.runs.queries import list_events


async def opened(db: Database, owner: Connection, *sessions: str) -> list[str]:
    """Supervised runs of these sessions, which no replica drives."""
    async with talking(db) as talk:
        runs = [await _open(talk, session) for session in sessions]
    await owner.execute("UPDATE runs SET kind = 'supervised', replica = NULL, reserved_seq = 1")
    return runs


async def _open(talk: Talk, session: str) -> str:
    return await talk.open(session)


async def test_many_writers_at_once_leave_no_gap_and_no_number_twice(db: Database, owner: Connection) -> None:
    (run,) = await opened(db, owner, "s")

    async def write(number: int) -> None:
        async with db.transaction() as connection:
            await append(connection, run, [("job.started", {"job": number}), ("job.finished", {"job": number})])

    await asyncio.gather(*(write(number) for number in range(20)))
    async with db.connection() as connection:
        found = await list_events(connection, run, 1)
    assert [event.seq for event in found] == list(range(2, 42))
    assert all(first.type == "job.started" and second.type == "job.finished" for first, second in zip(found[::2], found[1::2], strict=True))


async def test_writers_of_several_runs_never_wait_for_each_other_in_a_circle(db: Database, owner: Connection) -> None:
    one, other = await opened(db, owner, "s", "t")

    async def write(*runs: str) -> None:
        for _ in range(20):
            async with db.transaction() as connection:
                await append_all(connection, {run: [("job.started", {})] for run in runs})

    await asyncio.wait_for(asyncio.gather(write(one, other), write(other, one)), 20)
    for run in (one, other):
        assert await owner.fetchval("SELECT reserved_seq FROM runs WHERE id = $1", run) == 41


async def test_what_is_undone_leaves_no_gap(db: Database, owner: Connection) -> None:
    (run,) = await opened(db, owner, "s")
    async with db.connection() as connection:
        await connection.execute("BEGIN")
        await append(connection, run, [("job.started", {})])
        await connection.execute("ROLLBACK")
    async with db.transaction() as connection:
        assert [event.seq for event in await append(connection, run, [("job.started", {})])] == [2]


async def test_nothing_is_told_of_a_run_that_has_ended(db: Database, owner: Connection) -> None:
    (run,) = await opened(db, owner, "s")
    await owner.execute("UPDATE runs SET status = 'cancelled', completed_at = now()")
    async with db.transaction() as connection:
        assert await append(connection, run, [("job.started", {})]) == []
    async with db.connection() as connection:
        assert await list_events(connection, run, 1) == []
