"""Processes that die where they are told to: how often that came about, and what did not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.faults import charts
from tests.faults.stage import Stage

PATIENCE = 90.0  # seconds in which work must have brought a process to its failpoint
TRIES = 3  # processes that one death may take: which of the living takes up the work is not in our hand
AT_ONCE = 4  # processes that are on their way to a failpoint


@dataclass
class Deaths:
    """Who died where; what did not come to its end."""

    at: Counter[str] = field(default_factory=Counter[str])
    missed: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])

    def chart(self, names: Sequence[str]) -> str:
        """How often each of these failpoints was died at, as an SVG."""
        return charts.bars("Deaths at failpoints", {name: float(self.at[name]) for name in names}, x="failpoint", y="deaths")


async def die_at_each(stage: Stage, points: Sequence[str], dies: Callable[[str], Awaitable[bool]], deaths: Deaths) -> None:
    """A death at each of the points, some at once; `dies` arms a process, and says whether it died there."""
    waiting = iter(points)
    await asyncio.gather(*(_die_in_turn(stage, waiting, dies, deaths) for _ in range(AT_ONCE)))


async def _die_in_turn(stage: Stage, waiting: Iterator[str], dies: Callable[[str], Awaitable[bool]], deaths: Deaths) -> None:
    for name in waiting:
        if stage.time_left < 0:
            deaths.missed.append(f"{name} was not reached within {stage.options.duration:g} s")
            continue
        for _ in range(TRIES):
            if await dies(name):
                deaths.at[name] += 1
                break
        else:
            deaths.missed.append(f"{name} was not passed within {PATIENCE:g} s by any of {TRIES} processes")
        if deaths.at.total() % 10 == 0:
            stage.options.say(f"{deaths.at.total()} deaths at failpoints, {len(deaths.missed)} missed")
