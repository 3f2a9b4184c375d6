from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from pointsman.audit.chain import ORIGIN, Head, Sealer, verify
from pointsman.audit.queries import try_sealer_lock
from pointsman.audit.service import record
from pointsman.kit.db import Connection, Database

# Each is something that the owner of the database could do behind the gateway's back, and words of the fault that tells it.
TAMPERINGS = {
    "an actor was changed": ("UPDATE audit_log SET actor = 'somebody else' WHERE seal_seq = 3", "was changed"),
    "a detail was changed": ("UPDATE audit_log SET detail = '{\"a\": 1}' WHERE seal_seq = 3", "was changed"),
    "a time was changed": ("UPDATE audit_log SET at = at - interval '1 microsecond' WHERE seal_seq = 3", "was changed"),
    "a tenant was changed": ("UPDATE audit_log SET tenant_id = 'x' WHERE seal_seq = 3", "was changed"),
    "a request was forgotten": ("UPDATE audit_log SET request_id = '' WHERE seal_seq = 3", "was changed"),
    "the first was changed": ("UPDATE audit_log SET object_id = 'x' WHERE seal_seq = 1", "was changed"),
    "the last was changed": ("UPDATE audit_log SET object_id = 'x' WHERE seal_seq = 10", "was changed"),
    "a hash was changed": ("UPDATE audit_log SET hash = repeat('a', 64) WHERE seal_seq = 3", "was changed"),
    "a link was changed": ("UPDATE audit_log SET prev_hash = repeat('a', 64) WHERE seal_seq = 3", "does not follow"),
    "one was removed": ("DELETE FROM audit_log WHERE seal_seq = 5", "between 4 and 6 are missing"),
    "the first was removed": ("DELETE FROM audit_log WHERE seal_seq = 1", "between 0 and 2 are missing"),
    "the last was removed": ("DELETE FROM audit_log WHERE seal_seq = 10", "up to 10, are missing"),
    "the end was removed": ("DELETE FROM audit_log WHERE seal_seq > 6", "up to 10, are missing"),
    "all were removed": ("DELETE FROM audit_log", "up to 10, are missing"),
    "one was removed and the gap closed": (
        "DELETE FROM audit_log WHERE seal_seq = 5; UPDATE audit_log SET seal_seq = seal_seq - 1 WHERE seal_seq > 5",
        "does not follow",
    ),
    "two changed places": (
        """UPDATE audit_log SET seal_seq = 99 WHERE seal_seq = 3; UPDATE audit_log SET seal_seq = 3 WHERE seal_seq = 4;
           UPDATE audit_log SET seal_seq = 4 WHERE seal_seq = 99""",
        "does not follow",
    ),
    "one was inserted in between": (
        """UPDATE audit_log SET seal_seq = seal_seq + 100 WHERE seal_seq > 4;
           INSERT INTO audit_log (actor, action, object_type, object_id, seal_seq, prev_hash, hash)
           SELECT 'x', 'x', 'x', 'x', 5, hash, repeat('a', 64) FROM audit_log WHERE seal_seq = 4;
           UPDATE audit_log SET seal_seq = seal_seq - 99 WHERE seal_seq > 100""",
        "does not follow",
    ),
    "one was appended": (
        """INSERT INTO audit_log (actor, action, object_type, object_id, seal_seq, prev_hash, hash)
           SELECT 'x', 'x', 'x', 'x', 11, hash, repeat('a', 64) FROM audit_log WHERE seal_seq = 10""",
        "was changed",
    ),
    "one was put before the first": (
        """INSERT INTO audit_log (actor, action, object_type, object_id, seal_seq, prev_hash, hash)
           VALUES ('x', 'x', 'x', 'x', 0, repeat('0', 64), repeat('a', 64))""",
        "was changed",
    ),
    "the head was removed": ("DELETE FROM audit_head", "head is missing"),
    "the head was set back": (
        "UPDATE audit_head SET seal_seq = 9, hash = (SELECT hash FROM audit_log WHERE seal_seq = 9)",
        "recorded as 9",
    ),
    "one was unsealed": ("UPDATE audit_log SET seal_seq = NULL, prev_hash = NULL, hash = NULL WHERE seal_seq = 5", "between 4 and 6"),
}


async def change(db: Database, object_id: str) -> None:
    async with db.transaction() as connection:
        await record(connection, None, "agent.updated", "agent", object_id, {"ünïcode": [1, 1.5, None, {"b": 1, "a": "\u2028"}]})


@pytest.fixture
async def sealed(db: Database) -> Database:
    for number in range(10):
        await change(db, str(number))
    assert await Sealer(db).run_once() == 10
    return db


async def test_an_empty_log_is_sound(db: Database) -> None:
    verdict = await verify(db)
    assert (verdict.is_sound, verdict.sealed, verdict.unsealed, verdict.head) == (True, 0, 0, Head(0, ORIGIN))
    assert await Sealer(db).run_once() == 0


async def test_what_was_sealed_in_batches_is_one_sound_chain(db: Database, owner: Connection) -> None:
    for number in range(7):
        await change(db, str(number))
    sealer = Sealer(db, batch=3)
    assert [await sealer.run_once() for _ in range(4)] == [3, 3, 1, 0]
    await change(db, "late")
    verdict = await verify(db)
    assert (verdict.is_sound, verdict.sealed, verdict.unsealed, verdict.head.seal_seq) == (True, 7, 1, 7)
    assert await owner.fetchval("SELECT count(*) FROM audit_log WHERE length(hash) = 64 AND length(prev_hash) = 64") == 7


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_a_tampering_is_told(sealed: Database, owner: Connection, tampering: str) -> None:
    statements, words = TAMPERINGS[tampering]
    await owner.execute(statements)
    verdict = await verify(sealed)
    assert not verdict.is_sound
    assert any(words in fault.what for fault in verdict.faults), verdict.faults


async def test_a_rewritten_end_shows_against_a_head_that_was_kept_elsewhere(sealed: Database, owner: Connection) -> None:
    kept = (await verify(sealed)).head
    assert (await verify(sealed, kept)).is_sound
    await change(sealed, "one more")
    await Sealer(sealed).run_once()
    assert (await verify(sealed, kept)).is_sound
    await owner.execute(
        """DELETE FROM audit_log WHERE seal_seq > 6;
           UPDATE audit_head SET seal_seq = 6, hash = (SELECT hash FROM audit_log WHERE seal_seq = 6)"""
    )
    assert (await verify(sealed)).is_sound
    assert not (await verify(sealed, kept)).is_sound
    for number in range(5):
        await change(sealed, f"forged {number}")
    await Sealer(sealed).run_once()
    assert (await verify(sealed)).is_sound
    assert not (await verify(sealed, kept)).is_sound


async def test_an_entry_that_commits_after_younger_ones_were_sealed_is_sealed_next(db: Database, owner: Connection) -> None:
    async with db.transaction() as connection:
        await record(connection, None, "agent.updated", "agent", "early id, late commit", {})
        await change(db, "late id, early commit")
        assert await Sealer(db).run_once() == 1
    assert await Sealer(db).run_once() == 1
    rows = await owner.fetch("SELECT object_id FROM audit_log ORDER BY seal_seq")
    assert [row["object_id"] for row in rows] == ["late id, early commit", "early id, late commit"]
    assert await owner.fetchval("SELECT min(id) FROM audit_log WHERE seal_seq = 2") == 1
    assert (await verify(db)).is_sound


async def test_many_sealers_and_writers_at_once_make_one_sound_chain(db: Database, dsn: str) -> None:
    others = [await Database.connect(dsn, pool_size=2) for _ in range(3)]
    stop = asyncio.Event()
    sealers = [asyncio.create_task(_seal_until(stop, Sealer(replica, batch=4))) for replica in (db, *others)]
    await asyncio.gather(*(change(replica, f"{index}") for index in range(25) for replica in others))
    stop.set()
    await asyncio.gather(*sealers)
    while await Sealer(db).run_once():
        pass
    verdict = await verify(db)
    assert (verdict.is_sound, verdict.sealed, verdict.unsealed) == (True, 75, 0)
    for replica in others:
        await replica.close()


async def test_while_one_seals_another_one_leaves_it_to_it(db: Database, owner: Connection) -> None:
    await change(db, "a")
    async with owner.transaction():
        assert await try_sealer_lock(owner)
        assert await Sealer(db).run_once() == 0
    assert await Sealer(db).run_once() == 1


async def test_the_loop_seals_what_comes_until_it_is_stopped(db: Database) -> None:
    stop = asyncio.Event()
    loop = asyncio.create_task(Sealer(db, interval=timedelta(milliseconds=5)).run(stop))
    for number in range(3):
        await change(db, str(number))
        while (await verify(db)).unsealed:
            await asyncio.sleep(0.005)
    stop.set()
    await loop
    assert (await verify(db)).sealed == 3


async def _seal_until(stop: asyncio.Event, sealer: Sealer) -> None:
    while not stop.is_set():
        await sealer.run_once()
        await asyncio.sleep(0)
