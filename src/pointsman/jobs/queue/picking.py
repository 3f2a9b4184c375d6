"""Takes messages out of the queue, in a thread with a loop and a connection of its own, and has them handled on the main loop.

PgQueuer's statements and columns, and its one liveness mechanism: a picked message whose heartbeat has gone stale is picked by somebody
else. What runs them is ours: the heart must beat while the main loop is blocked, messages in hand must outlive a dead connection, and an
idle worker must ask almost nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog
import uvloop

from pointsman.jobs.queue import statements
from pointsman.jobs.queue.port import Handler, Message, MessageKind
from pointsman.jobs.queue.sending import read_message
from pointsman.kit.db import AWAY, Connection, Record, connect

log = structlog.get_logger()

BEAT = timedelta(seconds=1)
DEAD_AFTER = timedelta(seconds=8)
_LOOK = 1.0  # how often the queue is looked at although nothing was announced: delayed messages, and those of the dead
_AT_ONCE = 100  # messages in one statement
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_AGAIN = timedelta(seconds=1)  # after a handler broke, doubled with each attempt
_LONGEST_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Picked:
    """A message in hand; `number` is the queue's own, `attempts` how often its handler broke."""

    number: int
    message: Message
    attempts: int


class Picker:
    """One process's hands in the queue: at most `slots` messages at a time, of these pools."""

    def __init__(self, dsn: str, handlers: Mapping[MessageKind, Handler], pools: Sequence[str], *, slots: int) -> None:
        """Make one; `handlers` by the message's kind."""
        self._dsn = dsn
        self._handlers = handlers
        self._entrypoints = statements.entrypoints(handlers, pools)
        self._slots = slots
        self._owner = uuid.uuid4()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="queue", daemon=True)
        self._main: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()  # belongs to the thread's loop
        self._nudged = False
        self._picking = True
        self._ending = False
        self._held: dict[int, Picked] = {}  # by number; of the thread alone
        self._ended: deque[tuple[Picked, timedelta | None]] = deque()  # from the main loop to the thread
        self._tasks: set[asyncio.Task[None]] = set()  # of the main loop
        self._announced = True

    # --- on the main loop

    @property
    def in_hand(self) -> int:
        """How many messages are being handled."""
        return len(self._tasks)

    def start(self) -> None:
        """Begin; handlers run on the loop that calls this."""
        self._main = asyncio.get_running_loop()
        self._thread.start()

    def pause(self) -> None:
        """Pick nothing more; what is in hand goes on."""
        self._picking = False

    async def stop(self, patience: timedelta) -> None:
        """Pick nothing more, wait so long for the handlers, cancel the rest, and put their messages back for others."""
        self.pause()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience.total_seconds())
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        self._ending = True
        self._nudge()
        await asyncio.to_thread(self._thread.join, 5)

    def _begin(self, picked: Iterable[Picked]) -> None:
        for one in picked:
            task = asyncio.create_task(self._handle(one), name=f"{one.message.kind} {one.message.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, picked: Picked) -> None:
        again: timedelta | None = timedelta()
        try:
            if self._picking:
                again = await self._handlers[picked.message.kind](picked.message)
        except asyncio.CancelledError:
            log.info("message.put_back", kind=picked.message.kind, id=picked.message.id)
        except Exception:  # whatever it was, the message is neither lost nor in the way of others
            again = _later(picked.attempts)
            log.exception("message.broke", kind=picked.message.kind, id=picked.message.id, attempts=picked.attempts)
        self._ended.append((picked, again))
        self._nudge()

    def _nudge(self) -> None:
        if not self._nudged and self._loop is not None:
            self._nudged = True
            self._loop.call_soon_threadsafe(self._wake.set)

    # --- in the thread

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        been = False
        while not self._is_over():
            try:
                connection = await connect(self._dsn)
                try:
                    await statements.prepare(connection, self._announce)
                    await self._serve(connection, back=been)
                    been, pause = True, _FIRST_PAUSE
                finally:
                    connection.terminate()
            except (*AWAY, asyncpg.PostgresError) as error:
                log.warning("queue.lost", error=type(error).__name__, in_hand=len(self._held), retry_seconds=pause)
                been = True
                if self._ending:
                    return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_over(self) -> bool:
        return self._ending and not self._held

    def _announce(self) -> None:
        self._announced = True
        self._wake.set()

    async def _serve(self, connection: Connection, *, back: bool) -> None:
        """Settle, beat and pick, over and over. `back`: after an outage nobody's heartbeat is fresh, so let everybody beat first."""
        beat, look = 0.0, time.monotonic() + (2 * BEAT.total_seconds() if back else 0.0)
        while not self._is_over():
            self._nudged = False
            self._wake.clear()
            await self._settle(connection)
            now = time.monotonic()
            if self._held and now >= beat:
                await statements.beat(connection, self._owner, list(self._held))
                beat = now + BEAT.total_seconds()
            if now >= look or (self._announced and look - now <= _LOOK):
                if await self._pick(connection):
                    continue
                look = time.monotonic() + _LOOK
            await self._rest(min(look, beat) if self._held else look)

    async def _rest(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _settle(self, connection: Connection) -> None:
        """Put back or remove what was handled; kept until the database has confirmed it."""
        count = len(self._ended)
        ended = [self._ended[place] for place in range(count)]
        if done := [picked.number for picked, again in ended if again is None]:
            await statements.remove(connection, self._owner, done)
        for picked, again in ended:
            if again is not None:
                await statements.put_back(connection, self._owner, picked.number, again)
        for _ in range(count):
            picked, _again = self._ended.popleft()
            self._held.pop(picked.number, None)
        self._announced = self._announced or count > 0

    async def _pick(self, connection: Connection) -> bool:
        """Pick what there is room for; whether there may be more."""
        room = min(_AT_ONCE, self._slots - len(self._held))
        if room <= 0 or not self._picking:
            return False
        self._announced = False
        rows = await statements.pick(connection, self._entrypoints, self._owner, most=room, dead_after=DEAD_AFTER)
        picked = [_picked(row) for row in rows if row["id"] not in self._held]
        self._held.update((one.number, one) for one in picked)
        if picked and self._main is not None:
            self._main.call_soon_threadsafe(self._begin, picked)
        return len(rows) == room


def _picked(row: Record) -> Picked:
    return Picked(row["id"], read_message(row["entrypoint"], row["payload"], row["priority"]), row["attempts"])


def _later(attempts: int) -> timedelta:
    return min(_AGAIN * 2 ** min(attempts, 10), _LONGEST_AGAIN)
