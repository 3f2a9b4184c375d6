"""Several processes that start at once: one migrates, the others wait, and nobody waits for a dead one."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import pytest

from pointsman.kit.db import connect
from pointsman.migrations import HEAD, MigrationResult, check, current, migrate
from pointsman.migrations.errors import MigrationLocked
from pointsman.migrations.running import LOCK

MIGRATE = """
import asyncio, sys
from pointsman.migrations import migrate
sys.stdin.readline()
result = asyncio.run(migrate(sys.argv[1]))
print("RESULT", result.before, result.after, not sys.modules.keys().isdisjoint({"alembic", "sqlalchemy"}))
"""


class Told:
    """A log that keeps what it is told, and says when."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.waiting = asyncio.Event()

    def info(self, event: str, **_: Any) -> None:
        self.events.append(event)
        if event == "migrations.waiting":
            self.waiting.set()


async def test_of_five_processes_one_migrates_and_all_succeed(empty_dsn: str) -> None:
    results = await _processes(*[empty_dsn] * 5)
    assert sorted(result[:2] for result in results) == [[HEAD, HEAD]] * 4 + [["None", HEAD]]
    assert await check(empty_dsn) == []


async def test_neither_alembic_nor_sqlalchemy_is_imported_when_there_is_nothing_to_do(dsn: str) -> None:
    assert await _processes(dsn) == [[HEAD, HEAD, "False"]]


async def test_who_comes_second_waits_and_goes_on_when_the_first_is_gone(empty_dsn: str) -> None:
    told = Told()
    first = await connect(empty_dsn, role=None)
    try:
        await first.execute(f"SELECT pg_advisory_lock({LOCK})")
        second = asyncio.create_task(migrate(empty_dsn, log=told))
        await told.waiting.wait()
        assert await current(empty_dsn) is None
    finally:
        await first.close()
    assert await second == MigrationResult(None, HEAD)
    assert told.events == ["migrations.waiting", "migrations.started", "migrations.done"]


async def test_who_waits_too_long_is_told_that_another_migrates(empty_dsn: str) -> None:
    first = await connect(empty_dsn, role=None)
    try:
        await first.execute(f"SELECT pg_advisory_lock({LOCK})")
        with pytest.raises(MigrationLocked, match="Another process"):
            await migrate(empty_dsn, timeout=timedelta(milliseconds=50), log=Told())
    finally:
        await first.close()


async def test_a_revision_that_fails_leaves_the_database_as_it_was(empty_dsn: str) -> None:
    squatter = await connect(empty_dsn, role=None)
    try:
        await squatter.execute("CREATE TABLE runs (id int)")
        with pytest.raises(Exception, match="already exists"):
            await migrate(empty_dsn, log=Told())
        assert await current(empty_dsn) is None
        assert await squatter.fetchval("SELECT to_regclass('agent_info')") is None
        await squatter.execute("DROP TABLE runs")
    finally:
        await squatter.close()
    assert await migrate(empty_dsn, log=Told()) == (None, HEAD)


async def _processes(*dsns: str) -> list[list[str]]:
    started = [await _started(dsn) for dsn in dsns]
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in started))
    lines = [line for output, _ in answers for line in output.decode().splitlines() if line.startswith("RESULT")]
    assert [process.returncode for process in started] == [0] * len(dsns)
    return [line.split()[1:] for line in lines]


async def _started(dsn: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, dsn, stdin=pipe, stdout=pipe)
