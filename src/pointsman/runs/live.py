"""Runs that this process drives: their event numbers, what is not stored yet, and who is listening."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from pointsman.runs.events import TERMINAL, Event, encode

BLOCK = 1024  # event ids reserved at a time
_KEPT = 64  # stored events that stay in memory for readers who are nearly up to date


class LiveRun:
    """One run that is being driven here.

    `emit` sends at once and stores within the flush interval; `prepare` numbers events that `publish` sends after the caller has
    committed them. Ids beyond `reserved` must not be used before more are reserved in the run's row.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_pending",
        "_stored",
        "_waiters",
        "abandoned",
        "ended",
        "epoch",
        "flushing",
        "next_seq",
        "noted",
        "reserved",
        "run_id",
        "said_at",
        "step_lock",
    )

    def __init__(self, run_id: str, *, epoch: int, next_seq: int, reserved: int) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self.next_seq = next_seq
        self.reserved = reserved
        self.ended = False
        self.abandoned = False
        self.said_at = 0.0  # by the loop's clock, kept by `Pace`
        self.flushing: asyncio.Future[None] | None = None
        self.step_lock = asyncio.Lock()
        self.noted: Callable[[], None] | None = None  # told when something waits to be stored
        self._pending: list[Event] = []
        self._buffer: list[Event] = []
        self._base = next_seq  # the first id that may be in the buffer
        self._stored = next_seq - 1  # every id up to this is durable
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def base(self) -> int:
        """Events before this id are in the database only."""
        return self._base

    @property
    def has_pending(self) -> bool:
        """Whether something that was sent is not stored yet."""
        return bool(self._pending)

    def emit(self, type_: str, payload: dict[str, Any]) -> None:
        """Send now, store soon."""
        event = self.prepare(type_, payload)
        self._pending.append(event)
        self._buffer.append(event)
        if self.noted is not None:
            self.noted()
        self._wake()

    def prepare(self, type_: str, payload: dict[str, Any]) -> Event:
        """Number an event that will be published once it is committed."""
        event = encode(self.run_id, self.next_seq, type_, payload)
        self.next_seq += 1
        return event

    def publish(self, events: list[Event]) -> None:
        """Send what was committed, in order; a terminal event ends the run here."""
        self._buffer.extend(events)
        if events:
            self._stored = events[-1].seq
            self.ended = self.ended or events[-1].type in TERMINAL
        self._wake()

    def take_pending(self) -> list[Event]:
        """What was sent but not stored; the caller stores it, then says `stored`."""
        pending, self._pending = self._pending, []
        return pending

    def give_back(self, events: list[Event]) -> None:
        """Storing failed; they are first in line again."""
        self._pending[:0] = events
        if self.noted is not None:
            self.noted()

    def stored(self, last_seq: int) -> None:
        """Everything up to this id is durable, so old events may leave memory."""
        self._stored = max(self._stored, last_seq)
        spare = len(self._buffer) - _KEPT
        if spare <= 0:
            return
        cut = 0
        while cut < spare and self._buffer[cut].seq <= self._stored:
            cut += 1
        if cut:
            self._base = self._buffer[cut - 1].seq + 1
            del self._buffer[:cut]

    def abandon(self) -> None:
        """Another process has taken the run over: readers here go on from the database."""
        self.abandoned = True
        self._wake()

    def after(self, seq: int) -> list[Event]:
        """Events in memory with an id above `seq`; whoever is behind `base` reads the database first."""
        buffer = self._buffer
        if not buffer or buffer[-1].seq <= seq:
            return []
        index = len(buffer)
        while index and buffer[index - 1].seq > seq:
            index -= 1
        return buffer[index:]

    async def changed(self) -> None:
        """Wait for the next event."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():  # else its reader has left
                waiter.set_result(None)


class LiveRuns:
    """All of them, by id."""

    def __init__(self) -> None:
        self._runs: dict[str, LiveRun] = {}
        self.pending = asyncio.Event()  # set while something may wait to be stored

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def add(self, run: LiveRun) -> None:
        self._runs[run.run_id] = run
        run.noted = self.pending.set
        if run.has_pending:
            self.pending.set()

    def remove(self, run: LiveRun) -> None:
        if self._runs.get(run.run_id) is run:
            del self._runs[run.run_id]

    def find(self, run_id: str) -> LiveRun | None:
        return self._runs.get(run_id)
