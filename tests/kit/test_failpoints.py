"""Failpoints: inert unless armed, exact about which hit they strike, and in a transaction where they say so."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence

import pytest

from pointsman.kit import failpoints
from pointsman.kit.db import Connection, Database
from pointsman.kit.group_commit import GroupCommit

HERE = failpoints.declare("tests.here", "A test writes a row.")
THERE = failpoints.declare("tests.there", "A test writes another.")
LEAVING = failpoints.declare("tests.leaving", "A test is over.", ("after",))


@pytest.fixture(autouse=True)
def inert_afterwards() -> Generator[None]:
    yield
    failpoints.arm([])


async def strikes(moment: failpoints.Moment, times: int) -> list[int]:
    """Which of so many hits fail."""
    struck: list[int] = []
    for hit in range(1, times + 1):
        try:
            await HERE.reach(moment)
        except ConnectionResetError:
            struck.append(hit)
    return struck


async def test_nothing_fails_and_nothing_is_counted_until_one_is_armed() -> None:
    failpoints.arm([])
    assert not failpoints.are_armed()
    assert await strikes("before", 5) == []
    assert failpoints.reached() == {}


async def test_the_nth_hit_alone_is_struck() -> None:
    failpoints.arm(["tests.here.before:error@3"])
    assert await strikes("after", 5) == []
    assert await strikes("before", 5) == [3]
    assert failpoints.reached() == {"tests.here.before": 5, "tests.here.after": 5}


async def test_without_a_number_every_hit_is_struck() -> None:
    failpoints.arm(["tests.here.in:error"])
    assert await strikes("in", 3) == [1, 2, 3]


async def test_by_chance_the_same_seed_strikes_the_same_hits() -> None:
    failpoints.arm(["tests.here.in:error@0.3~7"])
    first = await strikes("in", 100)
    failpoints.arm(["tests.here.in:error@0.3~7"])
    assert await strikes("in", 100) == first
    assert 10 < len(first) < 60
    failpoints.arm(["tests.here.in:error@.3~8"])
    assert await strikes("in", 100) != first


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tests.here.in", "is not NAME:ACTION"),
        ("tests.here.in:explode", "is not NAME:ACTION"),
        ("tests.here.in:kill@0", "is not NAME:ACTION"),
        ("tests.here.in:kill@1.5", "is not NAME:ACTION"),
        ("tests.here.inn:kill", "Did you mean tests.here.in?"),
        ("nothing.like.it:kill", "There is no failpoint 'nothing.like.it'"),
        ("tests.leaving.after:error", "there is no connection to lose"),
    ],
)
def test_a_spec_that_names_nothing_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"failpoint|NAME|connection") as refused:
        failpoints.arm([spec])
    assert said in str(refused.value)
    assert not failpoints.are_armed()


async def test_the_process_dies_of_it() -> None:
    program = (
        "import asyncio; from pointsman.kit import failpoints; here = failpoints.declare('here', '.')\n"
        "failpoints.arm(['here.in:kill@2'])\n"
        "async def main():\n    await here.reach('in'); print('once', flush=True); await here.reach('in'); print('twice', flush=True)\n"
        "asyncio.run(main())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-9, "once\n")


@pytest.fixture
async def table(db: Database, owner: Connection) -> Database:
    await owner.execute("CREATE TABLE facts (fact text PRIMARY KEY)")
    await owner.execute("GRANT ALL ON facts TO pointsman_service")
    return db


async def insert(connection: Connection, facts: list[str]) -> None:
    await connection.execute("INSERT INTO facts SELECT unnest($1::text[])", facts)


@pytest.mark.parametrize(("moment", "kept"), [("before", 0), ("in", 0), ("after", 1)])
async def test_what_was_written_before_the_commit_is_lost_and_after_it_is_kept(
    table: Database, owner: Connection, moment: str, kept: int
) -> None:
    failpoints.arm([f"tests.here.{moment}:error"])
    with pytest.raises(ConnectionResetError):
        async with table.lent() as connection:
            await failpoints.around((HERE,), connection, lambda: insert(connection, ["one"]))
    assert await owner.fetchval("SELECT count(*) FROM facts") == kept


async def test_a_group_commit_passes_the_points_of_all_its_operations_and_writes_again(table: Database, owner: Connection) -> None:
    async def write(connection: Connection, ops: Sequence[str]) -> list[None]:
        await connection.execute("INSERT INTO facts SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", list(ops))
        return [None] * len(ops)

    def point_of(op: str) -> failpoints.Failpoint:
        return HERE if op == "one" else THERE

    commits: GroupCommit[str, None] = GroupCommit(table, write, name="facts", failpoint=point_of)
    failpoints.arm(["tests.there.after:error@1"])

    writer = asyncio.create_task(commits.run())
    try:
        await asyncio.gather(commits.commit("one"), commits.commit("two"))
    finally:
        writer.cancel()
        await asyncio.wait([writer])
    assert await owner.fetchval("SELECT count(*) FROM facts") == 2
    assert failpoints.reached()["tests.there.in"] == failpoints.reached()["tests.here.in"] == 2
