"""Fairness between tenants: while a process is short of time, the busiest tenant waits for itself and not the others for it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque

from pointsman.kit.problems import Kind, Problem

_BEAT = 0.01  # seconds between two looks at how busy the loop is
_SELDOM = 0.1  # the same while only one tenant asks
_BUSY = 0.6  # part of its time that the loop works, from which on it counts as short of time: beyond it, waiting grows quickly
_LATE = 0.004  # seconds that it comes too late to a look, from which on it does too: then others have the processor
_WEIGHT = 0.2  # of the newest look in the mean of all
_LEAST = 0.5  # requests a beat that each tenant may always begin: who asks for less than 50 a second is never kept waiting
_SHRINKAGE = 0.95  # of the pace with each look that finds the loop short of time
_GROWTH = 1.005  # with each that does not: quickly down, slowly up, or the pace would swing
_ENOUGH = 100.0  # requests a beat that no process gets through
_ACTIVE = 1.0  # seconds since its last request for which a tenant counts as one that wants something
_MOST_WAITING = 512  # requests of one tenant
_LONGEST_WAIT = 10.0  # seconds


class TenantBusy(Problem):
    """This tenant has as many requests under way as one tenant may have, or asks so fast that they would only wait for each other.

    Send fewer requests at the same time, and retry after the seconds in `Retry-After`; nothing was done and nothing was counted.
    Operators add replicas, or change `POINTSMAN_LIMITS__TENANT_SHARE`.
    """

    kind = Kind.LIMITED
    code = "tenant-busy"
    title = "Too many requests of this tenant at the same time"


class Fairness:
    """How many requests each tenant has under way, of at most `most`, and how fast it may begin more.

    With one tenant, or with time to spare, as fast as it likes. When the loop is short of time while several tenants want something,
    the pace falls for all of them alike until it is not, which only the busiest feel; then it rises again. What comes faster waits,
    which costs nothing, and is refused only after some seconds or behind a queue that is full. The pace counts beginnings, since a
    request that waits for a model takes no time from anybody.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pace = math.inf  # requests a beat that each tenant may begin
        self._begun: dict[str, float] = {}  # requests in this beat
        self._busiest = 0.0  # the mean of what the busiest tenant begins in a beat
        self._credit: dict[str, float] = {}  # what each may still begin in this beat, while there is a pace
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._asked_at: dict[str, float] = {}
        self._work = 0.0  # the part of its time that the loop works
        self._lateness = 0.0
        self._worked = self._looked_at = 0.0  # seconds of work until then, by the thread's own clock
        self._looking = False

    def pace(self) -> float:
        """How many requests a second each tenant may begin at this moment; infinite with time to spare."""
        return self._pace / _BEAT

    async def enter(self, tenant: str) -> None:
        """Take a place; `leave` gives it back. Raises TenantBusy."""
        loop = asyncio.get_running_loop()
        self._asked_at[tenant] = loop.time()
        if not self._looking:
            self._look_again(loop)
        if self._under_way.get(tenant, 0) >= self._most:
            raise _busy()
        if self._pace != math.inf and (tenant in self._waiting or self._credit.get(tenant, self._pace) < 1):
            await self._wait(tenant)
        else:
            self._begin(tenant)

    def leave(self, tenant: str) -> None:
        """The request has been answered."""
        left = self._under_way[tenant] - 1
        if left:
            self._under_way[tenant] = left
        else:
            del self._under_way[tenant]

    def _begin(self, tenant: str) -> None:
        self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
        self._begun[tenant] = self._begun.get(tenant, 0) + 1
        if self._pace != math.inf:
            self._credit[tenant] = self._credit.get(tenant, self._pace) - 1

    async def _wait(self, tenant: str) -> None:
        queue = self._waiting.setdefault(tenant, deque())
        if len(queue) >= _MOST_WAITING:
            raise _busy()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        try:
            await asyncio.wait({place}, timeout=_LONGEST_WAIT)
        except asyncio.CancelledError:
            self._give_up(tenant, place)
            raise
        if not place.done():
            place.cancel()
            raise _busy()

    def _give_up(self, tenant: str, place: asyncio.Future[None]) -> None:
        """A caller that was cancelled leaves its place in the queue, or the one that it had just got."""
        if place.done():
            self.leave(tenant)
        else:
            place.cancel()

    def _let_in(self, tenant: str) -> None:
        """Whoever is let in has its place already when it wakes."""
        queue = self._waiting[tenant]
        while queue and self._credit.get(tenant, math.inf) >= 1 and self._under_way.get(tenant, 0) < self._most:
            place = queue.popleft()
            if not place.done():  # else it has given up
                self._begin(tenant)
                place.set_result(None)
        if not queue:
            del self._waiting[tenant]

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking, self._looked_at, self._worked = True, loop.time(), time.thread_time()
        loop.call_later(_BEAT if len(self._asked_at) > 1 else _SELDOM, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._asked_at = {tenant: at for tenant, at in self._asked_at.items() if now - at < _ACTIVE or tenant in self._waiting}
        if len(self._asked_at) > 1:
            self._set_pace(now)
        else:  # there is nobody to be fair to
            self._pace, self._work, self._lateness, self._busiest = math.inf, 0.0, 0.0, 0.0
        self._begun.clear()
        self._credit = {} if self._pace == math.inf else {tenant: self._credited(tenant) for tenant in self._asked_at}
        for tenant in list(self._waiting):
            self._let_in(tenant)
        if self._asked_at:
            self._look_again(loop)
        else:
            self._looking = False

    def _set_pace(self, now: float) -> None:
        elapsed = now - self._looked_at
        self._work += ((time.thread_time() - self._worked) / elapsed - self._work) * _WEIGHT
        self._lateness += (max(0.0, elapsed - _BEAT) - self._lateness) * _WEIGHT
        self._busiest += (max(self._begun.values(), default=0.0) - self._busiest) * _WEIGHT
        if self._work > _BUSY or self._lateness > _LATE:
            self._pace = max(_LEAST, min(self._pace, self._busiest) * _SHRINKAGE)
        else:
            self._pace = math.inf if self._pace > _ENOUGH else self._pace * _GROWTH

    def _credited(self, tenant: str) -> float:
        """What is not used in one beat is not saved for later, but parts of a request add up."""
        return min(self._credit.get(tenant, 0.0) + self._pace, max(self._pace, 1.0))


def _busy() -> TenantBusy:
    return TenantBusy(hint="Send fewer requests at the same time.", retry_after=1)
