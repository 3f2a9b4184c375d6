from __future__ import annotations

import asyncio
import datetime as dt
import time
from datetime import timedelta

import pytest
from tests.access.access_scene import Desk, Line, authenticated

from pointsman.access.authenticate import Authenticator
from pointsman.access.errors import KeyExpired, Unauthenticated
from pointsman.access.keys import new_key
from pointsman.access.schemas import KeyPatch
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import Listener
from pointsman.kit.problems import Problem, Unavailable


async def test_a_key_is_told_with_everything_the_door_needs(db: Database, desk: Desk) -> None:
    until = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    issued = await desk.issue("agents:run", "runs:read", name="robot", owner_id="acme", rate_limit=7, expires_at=until)
    key = await authenticated(db, issued.api_key)
    assert (key.id, key.name, key.owner_id, key.rate_limit) == (issued.stored.key.id, "robot", "acme", 7)
    assert key.scopes == {"agents:run", "runs:read"}
    assert (key.family_id, key.expires_at) == (key.id, until)


async def test_junk_is_refused_without_asking_the_database(dsn: str) -> None:
    closed = await Database.connect(dsn)
    await closed.close()
    authenticator = Authenticator(closed, None)
    typo = new_key()[:-1] + "§"
    for junk in ("", "pm_", "sk-live-123", typo, new_key() + "x", "pm_" + "0" * 49, "\u0000", "é" * 52):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(junk)
    with pytest.raises(Unavailable):  # what is well formed does ask
        await authenticator.authenticate(new_key())


async def test_unknown_revoked_and_junk_get_the_same_answer(db: Database, desk: Desk) -> None:
    revoked = await desk.issue()
    await desk.keys.delete(desk.principal, revoked.stored.key.id)
    answers = {
        (type(problem), str(problem), problem.hint) for problem in [await refusal(db, key) for key in (new_key(), revoked.api_key, "x")]
    }
    assert len(answers) == 1


async def test_an_expired_key_hears_so_and_a_revoked_one_that_expired_does_not(db: Database, desk: Desk, owner: Connection) -> None:
    issued = await desk.issue(expires_at=dt.datetime.now(dt.UTC) + timedelta(hours=1))
    await owner.execute("UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = $1", issued.stored.key.id)
    assert isinstance(await refusal(db, issued.api_key), KeyExpired)
    await desk.keys.delete(desk.principal, issued.stored.key.id)
    assert isinstance(await refusal(db, issued.api_key), Unauthenticated)


async def test_a_remembered_key_does_not_outlive_its_expiry(db: Database, desk: Desk, owner: Connection) -> None:
    issued = await desk.issue()
    await owner.execute("UPDATE api_keys SET expires_at = clock_timestamp() + interval '200 ms' WHERE id = $1", issued.stored.key.id)
    authenticator = Authenticator(db, None)
    await authenticator.authenticate(issued.api_key)
    await asyncio.sleep(0.25)
    with pytest.raises(KeyExpired):
        await authenticator.authenticate(issued.api_key)


async def test_a_key_just_seen_is_known_without_the_database_for_less_than_a_second(far: Database, line: Line, desk: Desk) -> None:
    authenticator = Authenticator(far, None)
    known = await authenticator.authenticate(desk.api_key)
    await line.cut()
    assert await authenticator.authenticate(desk.api_key) == known
    await asyncio.sleep(0.85)
    with pytest.raises(Unavailable):
        await authenticator.authenticate(desk.api_key)
    await line.mend()
    assert await authenticator.authenticate(desk.api_key) == known


async def test_a_refusal_is_not_remembered(db: Database, desk: Desk, owner: Connection) -> None:
    authenticator = Authenticator(db, None)
    issued = await desk.issue()
    await owner.execute("UPDATE api_keys SET is_active = false WHERE id = $1", issued.stored.key.id)
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(issued.api_key)
    await owner.execute("UPDATE api_keys SET is_active = true WHERE id = $1", issued.stored.key.id)
    assert (await authenticator.authenticate(issued.api_key)).id == issued.stored.key.id


async def test_many_at_once_with_one_key_share_one_query(dsn: str, desk: Desk) -> None:
    # One connection, so that every query would pass through the one that is watched.
    db = await Database.connect(dsn, pool_size=1)
    queries: list[str] = []
    async with db.connection() as connection:
        connection.add_query_logger(lambda record: queries.append(record.query))  # pyright: ignore[reportAttributeAccessIssue] - not in the Protocol
    authenticator = Authenticator(db, None)
    found = await asyncio.gather(*(authenticator.authenticate(desk.api_key) for _ in range(200)))
    assert len(set(map(id, found))) == 1
    assert len(queries) == 1
    await db.close()


async def test_one_who_leaves_does_not_take_the_others_along(db: Database, desk: Desk) -> None:
    authenticator = Authenticator(db, None)
    first, *others = [asyncio.create_task(authenticator.authenticate(desk.api_key)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    assert {key.id for key in await asyncio.gather(*others)} == {desk.principal.key_id}


async def test_a_notification_makes_a_revocation_quicker_than_the_memory(dsn: str, db: Database, desk: Desk) -> None:
    listener = Listener(dsn)
    ready = asyncio.Event()
    listener.subscribe("keys", lambda key_id: ready.set() if key_id is None else None)
    authenticator = Authenticator(db, listener)
    listening = asyncio.create_task(listener.run())
    await ready.wait()
    issued = await desk.issue()
    await authenticator.authenticate(issued.api_key)
    known_until = time.monotonic() + 0.8
    await desk.keys.delete(desk.principal, issued.stored.key.id)
    while (refused := await was_refused(authenticator, issued.api_key)) is False and time.monotonic() < known_until:
        await asyncio.sleep(0.005)
    assert refused
    listening.cancel()
    await asyncio.wait([listening])


async def test_an_edit_reaches_the_door_within_a_second_without_any_notification(db: Database, desk: Desk) -> None:
    authenticator = Authenticator(db, None)
    issued = await desk.issue()
    await authenticator.authenticate(issued.api_key)
    await desk.keys.update(desk.principal, issued.stored.key.id, KeyPatch(rate_limit=9))
    await asyncio.sleep(0.85)
    assert (await authenticator.authenticate(issued.api_key)).rate_limit == 9


async def test_last_use_is_stored_by_the_flush_and_not_before(db: Database, desk: Desk, owner: Connection) -> None:
    authenticator = Authenticator(db, None)
    await authenticator.authenticate(desk.api_key)
    assert await last_used(owner, desk) is None
    await authenticator.flush()
    first = await last_used(owner, desk)
    assert first is not None
    assert abs((dt.datetime.now(dt.UTC) - first).total_seconds()) < 60
    await authenticator.flush()
    assert await last_used(owner, desk) == first


async def test_last_use_never_moves_back(db: Database, desk: Desk, owner: Connection) -> None:
    slow, quick = Authenticator(db, None), Authenticator(db, None)
    await slow.authenticate(desk.api_key)
    await asyncio.sleep(0.02)
    await quick.authenticate(desk.api_key)
    await quick.flush()
    newest = await last_used(owner, desk)
    await slow.flush()
    assert await last_used(owner, desk) == newest


async def test_last_use_survives_a_database_that_is_away(far: Database, line: Line, desk: Desk, owner: Connection) -> None:
    authenticator = Authenticator(far, None)
    await authenticator.authenticate(desk.api_key)
    await line.cut()
    with pytest.raises(Unavailable):
        await authenticator.flush()
    await line.mend()
    await authenticator.flush()
    assert await last_used(owner, desk) is not None


async def test_replicas_flush_the_same_keys_at_once_without_a_deadlock(db: Database, desk: Desk, owner: Connection) -> None:
    issued = [await desk.issue() for _ in range(20)]
    doors = [Authenticator(db, None) for _ in range(4)]
    for number, door in enumerate(doors):
        for one in issued if number % 2 else reversed(issued):
            await door.authenticate(one.api_key)
    await asyncio.gather(*(door.flush() for door in doors))
    assert await owner.fetchval("SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL") == 20


async def refusal(db: Database, api_key: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await authenticated(db, api_key)
    return caught.value


async def was_refused(authenticator: Authenticator, api_key: str) -> bool:
    try:
        await authenticator.authenticate(api_key)
    except Unauthenticated:
        return True
    return False


async def last_used(owner: Connection, desk: Desk) -> dt.datetime | None:
    return await owner.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", desk.principal.key_id)
