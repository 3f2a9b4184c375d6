"""Events go before their runs, runs leave what history needs, and nothing that lives is touched."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.retention.retention_scene import Past, Sweeping, next_lap
from tests.sessions.session_scene import OPERATOR

from pointsman.approvals.service import ApprovalService
from pointsman.kit.db import Connection, Database
from pointsman.runs import disposal
from pointsman.runs.disposal import events_expired
from pointsman.runs.errors import RunEventsExpired, RunNotFound
from pointsman.runs.live import LiveRuns
from pointsman.runs.replay import Replay
from pointsman.runs.replicas import Heartbeat, Rescue
from pointsman.runs.service import RunService
from pointsman.sessions import disposal as sessions_disposal
from pointsman.sessions.queries import count_answers, list_history
from pointsman.sessions.service import SessionService
from pointsman.settings import RetentionSettings


def run_service(db: Database, dsn: str) -> RunService:
    rescue = Rescue(db, Heartbeat(dsn, timedelta(seconds=1)), dead_after=timedelta(seconds=6), redrive=lambda _: None)
    return RunService(db, Replay(db, LiveRuns()), rescue, ApprovalService(db).decide_for_run)


async def test_events_go_after_thirty_days_and_their_run_stays(past: Past, db: Database, owner: Connection, dsn: str) -> None:
    old, young = await past.turn("s", days=31), await past.turn("s", days=29)
    assert await Sweeping(db).lap(owner) == {"events": 2}
    assert await owner.fetchval("SELECT array_agg(DISTINCT run_id) FROM run_events") == [young]
    runs = run_service(db, dsn)
    assert (await runs.require_run(OPERATOR, old)).status == "completed"
    with pytest.raises(RunEventsExpired):
        await runs.require_events(await runs.require_row(OPERATOR, old))
    await runs.require_events(await runs.require_row(OPERATOR, young))


async def test_runs_go_after_ninety_days_with_what_is_left_of_their_events(past: Past, db: Database, owner: Connection, dsn: str) -> None:
    gone, kept = await past.turn("s", days=91), await past.turn("s", days=89)
    assert await Sweeping(db, RetentionSettings(events=timedelta())).lap(owner) == {"events": 2, "runs": 1}
    assert [row["id"] for row in await owner.fetch("SELECT id FROM runs")] == [kept]
    with pytest.raises(RunNotFound):
        await run_service(db, dsn).require_run(OPERATOR, gone)


async def test_a_run_that_has_not_ended_is_never_touched_however_old(past: Past, db: Database, owner: Connection) -> None:
    live = await past.talk.open("s")
    await past.age(live, 400)
    everything = RetentionSettings(sessions=timedelta(days=1), usage=timedelta(days=1))
    assert await Sweeping(db, everything).lap(owner) == {}
    assert await past.count("run_events") == await past.count("runs") == await past.count("sessions") == await past.count("messages") == 1
    await past.talk.end(live, "s")
    assert await Sweeping(db).lap(owner) == {}
    await past.age(live, 31)
    await next_lap(owner)
    assert await Sweeping(db).lap(owner) == {"events": 2}


async def test_history_and_messages_are_the_same_after_their_runs_have_expired(past: Past, db: Database, owner: Connection) -> None:
    for number in range(6):
        await past.turn("s", days=100 - number, answer=f"answer {number}", agent="one" if number % 2 else "two")
    failed = await past.talk.open("s")
    await past.talk.end(failed, "s", status="failed")
    await past.age(failed, 94.5)
    await past.turn("s", days=1, answer="answer 6")
    service = SessionService(db)

    async def seen() -> tuple[object, ...]:
        pages, cursor = list[object](), None
        while True:
            page = await service.list_messages(OPERATOR, "s", limit=3, cursor=cursor)
            pages += page.items
            if (cursor := page.next_cursor) is None:
                break
        async with db.connection() as connection:
            history = [tuple(row) for row in await list_history(connection, tenant="", session_id="s", run_id="-", runs=4)]  # pyright: ignore[reportArgumentType] - a record is its values
            return pages, history, await count_answers(connection, tenant="", session_id="s", run_id="-")

    before = await seen()
    assert (await Sweeping(db, batch=2).lap(owner))["runs"] == 7
    assert await past.count("runs") == 1
    assert await seen() == before


async def test_usage_of_expired_runs_stays(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=91)
    await Sweeping(db).lap(owner)
    assert await past.count("runs") == 0
    assert await past.count("token_usage") == await past.count("usage_details") == 1


async def test_a_session_that_is_deleted_takes_its_expired_turns_along(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=91)
    await Sweeping(db).lap(owner)
    assert await past.count("past_turns") == 1
    await SessionService(db).delete_session(OPERATOR, "s")
    assert await past.count("past_turns") == await past.count("messages") == 0


async def test_a_run_with_many_events_goes_in_pieces_from_its_beginning(past: Past, db: Database, owner: Connection) -> None:
    run = await past.turn("s", days=31)
    await past.add_events(run, 40)
    sweeping = Sweeping(db, batch=10)
    await sweeping.sweeper.run_once()
    assert sweeping.deleted == [("events", 10)]
    async with db.connection() as connection:
        assert await events_expired(connection, run)
    assert await sweeping.lap(owner) == {"events": 32}
    assert all(rows <= 10 for _, rows in sweeping.deleted)


async def test_a_snapshot_of_no_run_goes_when_nobody_has_stored_it_for_a_day(past: Past, db: Database, owner: Connection) -> None:
    await past.turn("s", days=91)
    for digest in ("1" * 64, "2" * 64):
        await owner.execute("INSERT INTO run_snapshots (hash, data) VALUES ($1, '{}')", digest)
    await owner.execute("UPDATE run_snapshots SET created_at = now() - interval '25 hours' WHERE hash <> $1", "2" * 64)
    # The first turn's snapshot has a run until that has expired, in the same lap or the next.
    assert (await Sweeping(db, batch=1).lap(owner))["snapshots"] >= 1
    await next_lap(owner)
    await Sweeping(db).lap(owner)
    assert [row["hash"] for row in await owner.fetch("SELECT hash FROM run_snapshots")] == ["2" * 64]


async def test_no_batch_scans_a_table(past: Past, owner: Connection) -> None:
    await past.turn("s", days=31)
    await owner.execute("INSERT INTO run_snapshots (hash, data) SELECT 'h' || n, '{}' FROM generate_series(1, 50) n")
    await owner.execute(
        """
        INSERT INTO runs (id, tenant_id, kind, subject, status, session_id, request, snapshot, reserved_seq, created_at, completed_at)
        SELECT 'r' || n, '', 'chat', 'a', 'completed', 's', '{}', 'h' || (n % 50 + 1), 1, at, at
        FROM generate_series(1, 20000) n, LATERAL (SELECT now() - n * interval '10 minutes' AS at) a
        """
    )
    await owner.execute("INSERT INTO run_events (run_id, seq, last_seq, data) SELECT id, 1, 1, '[]' FROM runs ON CONFLICT DO NOTHING")
    await owner.execute("ANALYZE runs, run_events, run_snapshots")
    now = await owner.fetchval("SELECT now()")
    month = timedelta(days=30)
    plans = [
        await owner.fetch(f"EXPLAIN {disposal._EXPIRE_EVENTS}", month, None, None, 500),
        await owner.fetch(f"EXPLAIN {disposal._EXPIRE_EVENTS}", month, now - timedelta(days=60), 1, 500),
        await owner.fetch(f"EXPLAIN {sessions_disposal._EXPIRE_RUNS}", month, now, 1, 500),
    ]
    lines = [line[0] for plan in plans for line in plan]
    assert any("ix_runs_completed_at_ordinal" in line for line in lines)
    assert [line for line in lines if "Seq Scan on runs" in line or "Seq Scan on run_events" in line] == []
