"""Loops that last as long as their process, whatever breaks in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

Loop = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


async def kept_going(name: str, loop: Loop, draining: asyncio.Event) -> None:
    """Run a maintenance loop again when it broke; only its name and the error are news."""
    while not draining.is_set():
        try:
            await loop()
        except Exception:  # a maintenance loop must neither end the process nor stay dead
            log.exception("loop.broke", loop=name)
        await asyncio.sleep(1)


class Loops:
    """The loops of one process: named by `add`, set going by `start`, ended by `stop`."""

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._waiting: list[tuple[str, Loop]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, loop: Loop) -> None:
        """One more, run from `start` on."""
        self._waiting.append((name, loop))

    def start(self) -> None:
        """Set all of them going."""
        for name, loop in self._waiting:
            self._tasks.append(asyncio.create_task(kept_going(name, loop, self._draining), name=name))
        self._waiting.clear()

    async def stop(self) -> None:
        """Cancel them and wait until they are gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
