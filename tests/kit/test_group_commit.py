from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from tests.access.access_scene import Line

from pointsman.kit.db import Connection, Database
from pointsman.kit.group_commit import GroupCommit
from pointsman.kit.problems import Unavailable

Op = tuple[Any, Any]  # run and number


class Notebook:
    """A writer that notes its batches; a statement that is repeated changes nothing."""

    def __init__(self) -> None:
        self.batches: list[list[Op]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def write(self, connection: Connection, ops: Sequence[Op]) -> list[str]:
        self.batches.append(list(ops))
        await self.hold.wait()
        await connection.execute(
            "INSERT INTO notes SELECT * FROM unnest($1::text[], $2::int[]) ON CONFLICT DO NOTHING",
            [op[0] for op in ops],
            [op[1] for op in ops],
        )
        return [f"{run}/{number}" for run, number in ops]


@pytest.fixture
async def notes(owner: Connection) -> None:
    await owner.execute("CREATE TABLE notes (run text, number int CHECK (number <> 13), PRIMARY KEY (run, number))")
    await owner.execute("GRANT ALL ON notes TO pointsman_service")


@pytest.fixture
async def away(line: Line, notes: None) -> AsyncGenerator[Database]:
    """A Database at the end of the line."""
    del notes
    db = await Database.connect(line.dsn, pool_size=2)
    yield db
    await db.close()


@asynccontextmanager
async def running(db: Database, notebook: Notebook, **options: Any) -> AsyncGenerator[GroupCommit[Op, str]]:
    commits: GroupCommit[Op, str] = GroupCommit(db, notebook.write, name="notes", key=lambda op: op[0], **options)
    loop = asyncio.create_task(commits.run())
    try:
        yield commits
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def stored(owner: Connection) -> set[Op]:
    return {(row["run"], row["number"]) for row in await owner.fetch("SELECT * FROM notes")}


@pytest.mark.usefixtures("notes")
async def test_each_waits_for_its_own_commit_and_gets_its_own_result(db: Database, owner: Connection) -> None:
    notebook = Notebook()
    async with running(db, notebook) as commits:
        ops = [(f"run{number}", number) for number in range(14, 114)]
        assert await asyncio.gather(*(commits.commit(op) for op in ops)) == [f"{run}/{number}" for run, number in ops]
        assert await stored(owner) == set(ops)
    assert len(notebook.batches) < 10


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (("bad", 13), asyncpg.CheckViolationError),
        (("bad", 2**40), asyncpg.DataError),
        (("\ud83d", 1), asyncpg.DataError),
        (("a\x00b", 1), asyncpg.DataError),
    ],
    ids=["refused by a check", "too large for the driver", "a lone surrogate", "a NUL"],
)
async def test_a_row_that_cannot_be_written_fails_alone(db: Database, owner: Connection, bad: Op, error: type[Exception]) -> None:
    notebook = Notebook()
    async with running(db, notebook) as commits:
        good = [(f"run{number}", 1) for number in range(20)]
        results = await asyncio.gather(*(commits.commit(op) for op in [*good[:10], bad, *good[10:]]), return_exceptions=True)
        assert isinstance(results.pop(10), error)
        assert results == [f"{run}/1" for run, _ in good]
        assert await stored(owner) == set(good)
        assert await commits.commit(("next", 1)) == "next/1"


@pytest.mark.usefixtures("notes")
async def test_operations_of_one_key_keep_their_order_and_never_share_a_batch(db: Database) -> None:
    notebook = Notebook()
    notebook.hold.clear()
    async with running(db, notebook) as commits:
        asked = [asyncio.ensure_future(commits.commit((run, number))) for number in range(4) for run in ("a", "b")]
        await asyncio.sleep(0)
        notebook.hold.set()
        await asyncio.gather(*asked)
    assert all(len({run for run, _ in batch}) == len(batch) for batch in notebook.batches)
    written = [op for batch in notebook.batches for op in batch]
    for run in ("a", "b"):
        assert [number for name, number in written if name == run] == [0, 1, 2, 3]


@pytest.mark.usefixtures("notes")
async def test_a_batch_has_a_largest_size(db: Database) -> None:
    notebook = Notebook()
    async with running(db, notebook, most=7) as commits:
        await asyncio.gather(*(commits.commit((f"run{number}", 1)) for number in range(50)))
    assert max(map(len, notebook.batches)) == 7


async def test_what_was_asked_while_the_database_is_away_is_written_once_it_is_back(away: Database, line: Line, owner: Connection) -> None:
    notebook = Notebook()
    async with running(away, notebook) as commits:
        await commits.commit(("before", 1))
        await line.cut()
        asked = [asyncio.ensure_future(commits.commit((f"run{number}", number))) for number in range(5)]
        await asyncio.sleep(0.3)
        assert not any(waiting.done() for waiting in asked)
        await line.mend()
        assert await asyncio.gather(*asked) == [f"run{number}/{number}" for number in range(5)]
        assert len(await stored(owner)) == 6


async def test_a_connection_lost_in_the_middle_of_a_commit_does_not_write_twice(away: Database, line: Line, owner: Connection) -> None:
    notebook = Notebook()
    async with running(away, notebook) as commits:
        await commits.commit(("before", 1))
        line.hold()  # the statement arrives; its answer never does
        asked = asyncio.ensure_future(commits.commit(("run", 1)))
        while len(notebook.batches) < 2:
            await asyncio.sleep(0.01)
        await line.cut()
        await line.mend()
        assert await asked == "run/1"
        assert await stored(owner) == {("before", 1), ("run", 1)}


async def test_patience_ends_with_a_problem_that_says_whether_it_was_tried(away: Database, line: Line, owner: Connection) -> None:
    notebook = Notebook()
    async with running(away, notebook) as commits:
        await line.cut()
        with pytest.raises(Unavailable) as refused:
            await commits.commit(("impatient", 1), patience=0.1)
        assert refused.value.fields == {"tried": False}
        patient = asyncio.ensure_future(commits.commit(("patient", 1)))
        await line.mend()
        assert await patient == "patient/1"
        assert await stored(owner) == {("patient", 1)}


@pytest.mark.usefixtures("notes")
async def test_a_caller_that_leaves_does_not_disturb_the_others(db: Database, owner: Connection) -> None:
    notebook = Notebook()
    notebook.hold.clear()
    async with running(db, notebook) as commits:
        leaving = asyncio.ensure_future(commits.commit(("leaving", 1)))
        staying = asyncio.ensure_future(commits.commit(("staying", 1)))
        await asyncio.sleep(0.01)
        leaving.cancel()
        notebook.hold.set()
        assert await staying == "staying/1"
        assert await stored(owner) == {("leaving", 1), ("staying", 1)}  # it was under way


@pytest.mark.usefixtures("notes")
async def test_nobody_waits_for_ever_for_a_writer_with_a_defect(db: Database) -> None:
    async def defective(connection: Connection, ops: Sequence[Op]) -> list[str]:
        del connection
        raise KeyError(len(ops))

    commits: GroupCommit[Op, str] = GroupCommit(db, defective, name="notes")
    loop = asyncio.create_task(commits.run())
    with pytest.raises(RuntimeError, match="the writer notes broke"):
        await commits.commit(("run", 1))
    with pytest.raises(KeyError):
        await loop
