from __future__ import annotations

import asyncio

from tests.runs.run_scene import driven, replica, stored, until
from tests.sessions.session_scene import Talk

from pointsman.kit.db import Connection, Database
from pointsman.runs.events import RUN_COMPLETED


async def test_what_was_sent_is_stored_soon_in_one_row_a_run_and_flush(db: Database, talk: Talk, owner: Connection) -> None:
    async with replica(db) as here:
        runs = [await driven(talk, f"s{number}") for number in range(5)]
        for run in runs:
            here.runs.add(run.live)
            for word in ("one ", "two ", "Ω🍵 ", "\ud83d"):
                run.say(word)
        await here.writer.flush()
        for run in runs:
            assert await stored(owner, run.live.run_id) == run.sent
            assert not run.live.has_pending
        assert await owner.fetchval("SELECT count(*) FROM run_events") == 10  # the first event of each, then the words
        assert [rows for rows, _ in here.written] == [5]


async def test_a_flush_without_anything_to_store_writes_nothing(db: Database, talk: Talk) -> None:
    async with replica(db) as here:
        here.runs.add((await driven(talk)).live)
        await here.writer.flush()
        assert here.written == []


async def test_words_and_steps_in_any_order_are_stored_once_and_in_order(db: Database, talk: Talk, owner: Connection) -> None:
    async with replica(db) as here:
        run = await driven(talk)
        here.runs.add(run.live)
        for number in range(300):
            run.say(f"{number} ")
            if number % 7 == 0:
                await asyncio.sleep(0.001)
            if number % 40 == 0:
                await run.step()
        assert await run.step(RUN_COMPLETED)
        assert await stored(owner, run.live.run_id) == run.sent
        assert [event.seq for event in run.sent] == list(range(1, len(run.sent) + 1))


async def test_whoever_was_presumed_dead_stores_nothing_and_its_readers_go_on_elsewhere(
    db: Database, talk: Talk, owner: Connection
) -> None:
    async with replica(db) as here:
        ghost, living = await driven(talk, "one"), await driven(talk, "two")
        await owner.execute("UPDATE runs SET epoch = 2 WHERE id = $1", ghost.live.run_id)
        for run in (ghost, living):
            here.runs.add(run.live)
            run.say("hello")
        await here.writer.flush()
        assert len(await stored(owner, ghost.live.run_id)) == 1
        assert await stored(owner, living.live.run_id) == living.sent
        assert (ghost.live.abandoned, living.live.abandoned) == (True, False)
        assert not await ghost.step()
        assert len(await stored(owner, ghost.live.run_id)) == 1


async def test_a_server_that_refuses_to_write_for_a_while_loses_nothing(db: Database, talk: Talk, owner: Connection) -> None:
    async with replica(db) as here:
        run = await driven(talk)
        here.runs.add(run.live)
        await owner.execute("REVOKE INSERT ON run_events FROM pointsman_service")
        run.say("one ")
        await here.writer.flush()
        run.say("two ")
        await here.writer.flush()
        assert run.live.after(0) == run.sent  # its readers have it
        assert len(await stored(owner, run.live.run_id)) == 1
        await owner.execute("GRANT INSERT ON run_events TO pointsman_service")
        await until(lambda: not run.live.has_pending)
        await here.writer.flush()
        assert await stored(owner, run.live.run_id) == run.sent
