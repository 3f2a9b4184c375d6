"""A run that is driven in the test: what it sends, stores and commits, as the driver of turns does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from tests.sessions.session_scene import Talk

from pointsman.chat.journal import Entry
from pointsman.kit.db import Connection, Database
from pointsman.runs.deltas import DeltaWriter
from pointsman.runs.events import MESSAGE_DELTA, RUN_COMPLETED, TOOL_CALLED, Event, unpack
from pointsman.runs.live import BLOCK, LiveRun, LiveRuns
from pointsman.runs.queries import list_events
from pointsman.runs.replay import Replay


@dataclass
class Driven:
    """An opened run and everything that was sent of it."""

    talk: Talk
    live: LiveRun
    session: str
    sent: list[Event] = field(default_factory=list[Event])

    def say(self, text: str) -> None:
        self.live.emit(MESSAGE_DELTA, {"text": text})
        self.sent += self.live.after(self.live.next_seq - 2)

    async def step(self, type_: str = TOOL_CALLED) -> bool:
        """Commit what was sent together with one more event, then send that."""
        live = self.live
        while live.flushing is not None:
            await asyncio.shield(live.flushing)
        event = live.prepare(type_, {})
        pending = live.take_pending()
        status = "completed" if type_ == RUN_COMPLETED else "running"
        entry = Entry(
            live.run_id, live.epoch, "", self.session, status=status, events=(*pending, event), result="{}", reserve=event.seq + BLOCK
        )
        if not await self.talk.journal.enter(entry):
            return False
        live.publish([event])
        if pending:
            live.stored(pending[-1].seq)
        self.sent.append(event)
        return True


async def driven(talk: Talk, session: str = "s") -> Driven:
    run_id = await talk.open(session)
    async with talk.db.connection() as connection:
        [started] = await list_events(connection, run_id, 0)
    live = LiveRun(run_id, epoch=1, next_seq=1, reserved=BLOCK)
    live.next_seq = 2
    live.publish([started])
    return Driven(talk, live, session, [started])


@dataclass
class Replica:
    """One process: the runs it drives, its writer and its readers."""

    db: Database
    runs: LiveRuns = field(default_factory=LiveRuns)
    written: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])

    def __post_init__(self) -> None:
        self.writer = DeltaWriter(self.db, self.runs, timedelta(milliseconds=5), lambda rows, seconds: self.written.append((rows, seconds)))
        self.replay = Replay(self.db, self.runs)

    async def read(self, run_id: str, after: int = 0) -> list[Event]:
        """Follow the run to its end."""
        async with asyncio.timeout(30):
            return [event async for batch in self.replay.follow(run_id, after) for event in batch]


@asynccontextmanager
async def replica(db: Database) -> AsyncGenerator[Replica]:
    made = Replica(db)
    loop = asyncio.create_task(made.writer.run())
    try:
        yield made
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def stored(owner: Connection, run_id: str) -> list[Event]:
    rows = await owner.fetch("SELECT data::text AS data FROM run_events WHERE run_id = $1 ORDER BY seq", run_id)
    return [event for row in rows for event in unpack(row["data"])]


async def until(condition: object, seconds: float = 10) -> None:
    """Wait for a condition, given as a function that may be a coroutine's."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)
