"""Named places at which this process can be made to fail; compiled in, and inert unless the setting names them.

A spec is `NAME:ACTION[@WHICH]`. The name is that of a point with its moment (`runs.open.in`); the action `kill` (SIGKILL to this very
process), `error` (what the driver raises when the connection is lost) or `sleep:MILLISECONDS`; which hit, a number (`@3`: the third alone)
or a probability with a seed (`@0.1~7`: each tenth, by chance), else every one.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from pointsman.kit.db import Connection

T = TypeVar("T")
Moment = Literal["before", "in", "after"]

_SPEC = re.compile(
    r"(?P<name>[a-z_.]+):(?P<action>kill|error|sleep:(?P<ms>\d{1,6}))"
    r"(?:@(?:(?P<nth>[1-9]\d*)|(?P<share>0?\.\d+)(?:~(?P<seed>\d+))?))?"
)
_TRANSACTION: tuple[Moment, ...] = ("before", "in", "after")


@dataclass(frozen=True, slots=True)
class Failpoint:
    """One transition, its sentence for the documents, and the moments at which it can fail."""

    name: str
    sentence: str
    moments: tuple[Moment, ...]

    async def reach(self, moment: Moment) -> None:
        """Fail here, if this is where and when to."""
        if _state.armed is not None:
            await _strike(_state.armed, f"{self.name}.{moment}")


@dataclass(slots=True)
class _Armed:
    action: str
    pause: float
    nth: int | None
    share: float | None
    chance: random.Random
    hits: int = 0

    def is_due(self) -> bool:
        self.hits += 1
        if self.share is not None:
            return self.chance.random() < self.share
        return self.nth is None or self.hits == self.nth


@dataclass(slots=True)
class _State:
    """Of the process, since it is the process that dies. `armed` is None where nothing is to fail: that is all an inert point costs."""

    points: dict[str, Failpoint] = field(default_factory=dict[str, Failpoint])
    armed: Mapping[str, _Armed] | None = None
    reached: Counter[str] = field(default_factory=Counter[str])


_state = _State()


def declare(name: str, sentence: str, moments: tuple[Moment, ...] = _TRANSACTION) -> Failpoint:
    """A point, made once by the module that passes it."""
    point = _state.points[name] = Failpoint(name, sentence, moments)
    return point


def declared() -> dict[str, str]:
    """Every name that a spec may have, with its point's sentence."""
    return {f"{point.name}.{moment}": point.sentence for point in _state.points.values() for moment in point.moments}


def arm(specs: Sequence[str]) -> None:
    """Make the named places fail from now on, or none. Raises ValueError for a spec that cannot be read or names no place."""
    _state.armed = {spec.partition(":")[0]: _read(spec) for spec in specs} or None
    _state.reached.clear()


def are_armed() -> bool:
    """Whether any place of this process is to fail."""
    return _state.armed is not None


def reached() -> Mapping[str, int]:
    """How often each place was passed since any was armed."""
    return _state.reached


async def around(points: Collection[Failpoint], connection: Connection, write: Callable[[], Awaitable[T]]) -> T:
    """Do a write that commits by itself; where anything is armed, in a transaction, so that it can fail between write and commit."""
    if _state.armed is None:
        return await write()
    for point in points:
        await point.reach("before")
    async with connection.transaction():
        result = await write()
        for point in points:
            await point.reach("in")
    for point in points:
        await point.reach("after")
    return result


async def _strike(armed: Mapping[str, _Armed], name: str) -> None:
    _state.reached[name] += 1
    failure = armed.get(name)
    if failure is None or not failure.is_due():
        return
    if failure.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if failure.action == "error":
        raise ConnectionResetError(f"failpoint {name}")
    await asyncio.sleep(failure.pause)


def _read(spec: str) -> _Armed:
    found = _SPEC.fullmatch(spec)
    if found is None:
        raise ValueError(f"{spec!r} is not NAME:ACTION[@WHICH] with the action kill, error or sleep:MILLISECONDS.")
    known = declared()
    if found["name"] not in known:
        close = difflib.get_close_matches(found["name"], known, n=1)
        raise ValueError(f"There is no failpoint {found['name']!r}. {f'Did you mean {close[0]}?' if close else ''}".strip())
    if found["action"] == "error" and "in" not in _state.points[found["name"].rpartition(".")[0]].moments:
        raise ValueError(f"{spec!r}: there is no connection to lose at {found['name']}; use kill or sleep.")
    return _Armed(
        action=found["action"].partition(":")[0],
        pause=int(found["ms"] or 0) / 1000,
        nth=int(found["nth"]) if found["nth"] else None,
        share=float(found["share"]) if found["share"] else None,
        chance=random.Random(int(found["seed"] or 0)),  # noqa: S311 - nothing secret, and the same each time
    )
