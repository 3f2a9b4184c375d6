"""One runner for each target, opened at first use, replaced when the target is changed, closed when nobody uses it any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pointsman.execution.ports import Runner
from pointsman.execution.rows import ExecutionTarget

MakeRunner = Callable[[ExecutionTarget], Runner]


@dataclass(slots=True)
class _Open:
    runner: Runner
    version: dt.datetime
    users: int = 0
    is_old: bool = False


class Runners:
    """The runners of one process."""

    def __init__(self, make: MakeRunner) -> None:
        self._make = make
        self._open: dict[str, _Open] = {}

    @asynccontextmanager
    async def lent(self, target: ExecutionTarget) -> AsyncGenerator[Runner]:
        """The target's runner as the target is now; what runs on a former one goes on there."""
        opened = self._open.get(target.id)
        if opened is None or opened.version != target.updated_at:
            if opened is not None:
                opened.is_old = True
                await self._close_if_idle(opened)
            opened = self._open[target.id] = _Open(self._make(target), target.updated_at)
        opened.users += 1
        try:
            yield opened.runner
        finally:
            opened.users -= 1
            await self._close_if_idle(opened)

    async def aclose(self) -> None:
        """Let go of all of them."""
        for opened in self._open.values():
            await opened.runner.aclose()
        self._open.clear()

    async def _close_if_idle(self, opened: _Open) -> None:
        if opened.is_old and not opened.users:
            await opened.runner.aclose()
