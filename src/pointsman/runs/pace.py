"""How often a run speaks: at once while few do, in the beat of a shared tick while many do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pointsman.runs.live import LiveRun, LiveRuns

CROWD = 64  # runs at the same time from which on an event for each token costs more than anybody sees of it
TICK = 0.04  # seconds that a piece of text waits at most for the next one


@dataclass(slots=True)
class _Held:
    """Text that has not become an event yet."""

    run: LiveRun
    type_: str
    message: int
    texts: list[str]
    due: float


class Pace:
    """Turns pieces of text into events.

    In a crowd the pieces that a run says within a tick become one event. The first piece after a silence always goes out at once,
    so a first token never waits. Ticks of different runs lie beside each other, so the loop is never busy with all of them.
    """

    def __init__(self, live: LiveRuns, *, crowd: int = CROWD) -> None:
        self._live = live
        self._crowd = crowd
        self._held: dict[str, _Held] = {}  # in the order of `due`, which is that of their coming
        self._timer: asyncio.TimerHandle | None = None

    def say(self, run: LiveRun, type_: str, message: int, text: str) -> None:
        """Send the text, now or within a tick."""
        held = self._held.get(run.run_id)
        if held is not None and (held.type_ != type_ or held.message != message):
            self.release(run)
            held = None
        if held is not None:
            held.texts.append(text)
        elif len(self._live) <= self._crowd:
            _emit(run, type_, message, text)
        else:
            self._say_in_crowd(run, type_, message, text)

    def release(self, run: LiveRun) -> None:
        """Send what is held of a run before anything else is said of it."""
        held = self._held.pop(run.run_id, None)
        if held is not None:
            _emit(held.run, held.type_, held.message, "".join(held.texts))

    def forget(self, run: LiveRun) -> None:
        """Nothing that is held of the run counts any more."""
        self._held.pop(run.run_id, None)

    def _say_in_crowd(self, run: LiveRun, type_: str, message: int, text: str) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - run.said_at >= TICK:
            run.said_at = now
            _emit(run, type_, message, text)
            return
        self._held[run.run_id] = _Held(run, type_, message, [text], now + TICK)
        if self._timer is None:
            self._timer = loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for held in list(self._held.values()):
            if held.due > now:
                # A moment longer than the next one's time, so that its neighbours go out with it.
                self._timer = loop.call_at(held.due + TICK / 8, self._tick)
                return
            held.run.said_at = now
            self.release(held.run)


def _emit(run: LiveRun, type_: str, message: int, text: str) -> None:
    run.emit(type_, {"message": message, "text": text})
