"""One replica at a time, small batches, none twice, and any process may die in any of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.retention.retention_scene import Past, Sweeping, hurry, next_lap
from tests.runs.run_scene import until

from pointsman.kit.db import Connection, Database
from pointsman.kit.telemetry import Metrics
from pointsman.retention.kinds import Swept, batches
from pointsman.retention.sweeping import Sweeper
from pointsman.settings import RetentionSettings

DAY = timedelta(days=1)


async def test_replicas_share_the_work_and_do_none_of_it_twice(past: Past, db: Database, owner: Connection) -> None:
    for number in range(12):
        await past.turn(f"s{number}", days=91)
    replicas = [Sweeping(db, batch=2) for _ in range(4)]
    while any(await asyncio.gather(*(one.sweeper.run_once() for one in replicas))) or await hurry(owner):
        pass
    deleted = [item for one in replicas for item in one.deleted]
    assert sum(rows for kind, rows in deleted if kind == "events") == 24
    assert sum(rows for kind, rows in deleted if kind == "runs") == 12
    assert await past.count("past_turns") == 12


async def test_while_one_replica_is_at_a_batch_the_others_find_nothing_to_do(db: Database) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> Swept:
        inside.set()
        await leave.wait()
        return Swept(1, None, more=False)

    first, second = Sweeping(db, kinds={"slow": slow}), Sweeping(db)
    working = asyncio.create_task(first.sweeper.run_once())
    await inside.wait()
    assert await second.sweeper.run_once() is None
    leave.set()
    assert await working is not None
    assert await second.sweeper.run_once() is not None


async def test_after_a_batch_no_replica_goes_on_before_the_rest_is_over(past: Past, db: Database) -> None:
    for number in range(3):
        await past.turn(f"s{number}", days=91)
    kinds = {"events": batches(RetentionSettings())["events"]}
    first, second = Sweeping(db, batch=2, kinds=kinds), Sweeping(db, batch=2, kinds=kinds)
    assert await first.sweeper.run_once() is not None
    assert await second.sweeper.run_once() is None


async def test_a_batch_whose_process_dies_is_done_again_from_where_it_began(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=91)
    killed = asyncio.Event()
    expire = batches(RetentionSettings())["events"]

    async def dying(connection: Connection, place: Any, most: int) -> Swept:
        swept = await expire(connection, place, most)
        assert swept.rows == 2
        killed.set()
        await asyncio.Event().wait()
        return swept

    died = asyncio.create_task(Sweeping(db, kinds={"events": dying}).sweeper.run_once())
    await killed.wait()
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    died.cancel()
    await asyncio.gather(died, return_exceptions=True)
    assert await past.count("run_events") == 2
    assert await Sweeping(db).lap(owner) == {"events": 2, "runs": 1}


async def test_a_batch_that_takes_too_long_is_undone_and_made_smaller(db: Database) -> None:
    asked: list[int] = []
    stop = asyncio.Event()

    async def heavy(connection: Connection, place: Any, most: int) -> Swept:
        del place
        asked.append(most)
        if most > 100:
            await connection.execute("SET LOCAL statement_timeout = 10")
            await connection.execute("SELECT pg_sleep(5)")
        stop.set()
        return Swept(most, None, more=False)

    sweeper = Sweeper(db, {"heavy": heavy}, deleted=lambda *_: None, batch=180, idle=0.01)
    await asyncio.wait_for(sweeper.run(stop), 10)
    assert asked == [180, 90]


async def test_what_the_loop_deletes_is_counted(past: Past, db: Database) -> None:
    await past.turn("s", days=91)
    metrics, stop = Metrics(), asyncio.Event()
    loop = asyncio.create_task(Sweeper(db, batches(RetentionSettings()), deleted=metrics.rows_expired).run(stop))

    async def swept() -> bool:
        return await past.count("runs") == 0

    await until(swept)
    stop.set()
    await loop
    text = metrics.render().decode()
    assert 'pointsman_retention_rows_total{kind="events"} 2.0' in text
    assert 'pointsman_retention_rows_total{kind="runs"} 1.0' in text


async def test_sessions_and_usage_are_kept_unless_a_setting_says_otherwise(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=4000)
    await Sweeping(db).lap(owner)
    assert await past.count("sessions") == await past.count("token_usage") == 1
    await next_lap(owner)
    deleted = await Sweeping(db, RetentionSettings(usage=DAY, sessions=DAY)).lap(owner)
    assert deleted["usage"] == 1
    for table in ("sessions", "messages", "past_turns", "token_usage", "usage_details"):
        assert await past.count(table) == 0


async def test_a_long_session_goes_in_pieces_and_a_touched_one_stays(past: Past, db: Database, owner: Connection) -> None:
    for number in range(8):
        await past.turn("long", days=40 - number)
    await past.turn("short", days=35)
    await past.turn("young", days=3)
    sweeping = Sweeping(db, RetentionSettings(sessions=timedelta(days=30), events=timedelta(), runs=timedelta()), batch=5)
    deleted = await sweeping.lap(owner)
    # 8 turns of 2 events, 2 messages and a run, and the session; and once more for the short one's turn.
    assert deleted == {"sessions": 8 * 5 + 1 + 6}
    assert all(rows <= 5 for _, rows in sweeping.deleted)
    assert [row["id"] for row in await owner.fetch("SELECT id FROM sessions")] == ["young"]
    assert await past.count("runs") == 1


async def test_a_session_that_somebody_is_opening_a_run_in_is_left_for_later(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=40)
    await owner.execute("BEGIN")
    await owner.execute("SELECT FROM sessions FOR NO KEY UPDATE")
    kinds = {"sessions": batches(RetentionSettings(sessions=timedelta(days=30)))["sessions"]}
    assert await Sweeping(db, kinds=kinds).sweeper.run_once() is not None
    await owner.execute("ROLLBACK")
    assert await past.count("sessions") == 1
