from __future__ import annotations

import asyncio
from random import Random

import pytest
from tests.access.access_scene import Line
from tests.runs.run_scene import Driven, Replica, driven, replica, stored, until
from tests.sessions.session_scene import Talk

from pointsman.kit.db import Connection, Database
from pointsman.runs.events import RUN_COMPLETED, Event
from pointsman.runs.live import BLOCK, LiveRun


async def speak(run: Driven, words: int, chance: Random) -> None:
    """Words in bursts, steps between them, and the end."""
    for number in range(words):
        run.say(f"{number} ")
        if chance.random() < 0.02:
            await asyncio.sleep(0.003)
        if chance.random() < 0.005:
            await run.step()
    assert await run.step(RUN_COMPLETED)


def seen(sent: list[Event], after: int) -> list[Event]:
    return [event for event in sent if event.seq > after]


@pytest.mark.parametrize("seed", range(4))
async def test_readers_that_come_at_any_time_see_every_event_once(db: Database, talk: Talk, seed: int) -> None:
    chance = Random(seed)
    async with replica(db) as here, replica(db) as elsewhere:
        run = await driven(talk)
        here.runs.add(run.live)
        writing = asyncio.create_task(speak(run, 2500, chance))
        readers: list[tuple[int, asyncio.Task[list[Event]]]] = []
        while not writing.done():
            after = chance.choice((0, 1, chance.randrange(run.live.next_seq), run.live.next_seq - 1, run.live.next_seq + 3))
            where: Replica = chance.choice((here, elsewhere))
            readers.append((after, asyncio.create_task(where.read(run.live.run_id, after))))
            await asyncio.sleep(0.01)
        await writing
        here.runs.remove(run.live)
        readers += [(after, asyncio.create_task(here.read(run.live.run_id, after))) for after in (0, 700, len(run.sent) - 1, len(run.sent))]
        for after, reader in readers:
            assert await reader == seen(run.sent, after)
        assert len(readers) > 8
        assert (here.replay.followers(), elsewhere.replay.followers()) == (0, 0)


async def test_a_reader_behind_what_memory_keeps_begins_in_the_database(db: Database, talk: Talk) -> None:
    async with replica(db) as here:
        run = await driven(talk)
        here.runs.add(run.live)
        for number in range(1500):
            run.say(f"{number} ")
        await here.writer.flush()
        assert run.live.base > 900
        readers = [asyncio.create_task(here.read(run.live.run_id, after)) for after in (0, 500, run.live.base - 2, run.live.base - 1, 1499)]
        await asyncio.sleep(0.02)
        await speak(run, 1500, Random(1))
        for after, reader in zip((0, 500, None, None, 1499), readers, strict=True):
            events = await reader
            assert events[-1].type == RUN_COMPLETED
            assert [event.seq for event in events] == list(range(events[0].seq, len(run.sent) + 1))
            assert after is None or events == seen(run.sent, after)


async def test_ids_that_were_reserved_and_never_used_are_no_gap_to_wait_for(db: Database, talk: Talk, owner: Connection) -> None:
    """After a take-over the new owner's ids begin above all that were reserved."""
    async with replica(db) as here:
        first = await driven(talk)
        await owner.execute("UPDATE runs SET epoch = 2 WHERE id = $1", first.live.run_id)
        again = Driven(talk, LiveRun(first.live.run_id, epoch=2, next_seq=BLOCK + 1, reserved=2 * BLOCK), "s", list(first.sent))
        here.runs.add(again.live)
        readers = [asyncio.create_task(here.read(first.live.run_id, after)) for after in (0, 1, 7, BLOCK)]
        await asyncio.sleep(0.05)
        await speak(again, 600, Random(2))
        for after, reader in zip((0, 1, 7, BLOCK), readers, strict=True):
            assert await reader == seen(again.sent, after)


async def test_readers_of_a_run_that_another_replica_takes_over_go_on_there(db: Database, talk: Talk, owner: Connection) -> None:
    async with replica(db) as here, replica(db) as elsewhere:
        run = await driven(talk)
        here.runs.add(run.live)
        reader = asyncio.create_task(here.read(run.live.run_id))
        run.say("one ")
        await here.writer.flush()
        await owner.execute("UPDATE runs SET epoch = 2, reserved_seq = $2 WHERE id = $1", run.live.run_id, 2 * BLOCK)
        run.say("never stored")
        again = Driven(talk, LiveRun(run.live.run_id, epoch=2, next_seq=BLOCK + 1, reserved=2 * BLOCK), "s")
        elsewhere.runs.add(again.live)
        assert not await run.step()
        run.live.abandon()
        here.runs.remove(run.live)
        await speak(again, 50, Random(3))
        assert await reader == [*run.sent, *again.sent]
        assert await here.read(run.live.run_id) == await stored(owner, run.live.run_id) == [*run.sent[:2], *again.sent]


async def test_a_run_that_does_not_exist_has_no_events(db: Database) -> None:
    async with replica(db) as here:
        assert await here.read("run_none") == []


async def test_a_reader_that_leaves_is_no_longer_counted(db: Database, talk: Talk) -> None:
    async with replica(db) as here:
        run = await driven(talk)
        here.runs.add(run.live)
        following = here.replay.follow(run.live.run_id)
        assert [event.seq for event in await anext(following)] == [1]
        assert here.replay.followers() == 1
        await following.aclose()
        assert here.replay.followers() == 0


@pytest.mark.parametrize("driven_here", [True, False])
async def test_a_database_that_is_away_for_a_moment_only_delays(talk: Talk, line: Line, driven_here: bool) -> None:
    far = await Database.connect(line.dsn, pool_size=2)
    try:
        reading = Replica(far)
        async with replica(talk.db) as writing:
            run = await driven(talk)
            writing.runs.add(run.live)
            for number in range(1200):
                run.say(f"{number} ")
            await writing.writer.flush()
            if driven_here:
                reading.runs.add(run.live)
            await line.cut()
            reader = asyncio.create_task(reading.read(run.live.run_id))
            await asyncio.sleep(0.2)
            assert not reader.done()
            assert await run.step(RUN_COMPLETED)
            await line.mend()
            assert await reader == run.sent
    finally:
        await far.close()


async def test_a_run_deleted_under_its_readers_ends_their_stream(db: Database, talk: Talk, owner: Connection) -> None:
    async with replica(db) as here:
        run = await driven(talk)
        reader = asyncio.create_task(here.read(run.live.run_id))
        await until(lambda: here.replay.followers() == 1)
        await owner.execute("DELETE FROM runs")
        assert [event.seq for event in await reader] in ([], [1])
