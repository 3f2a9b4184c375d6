"""Fairness between tenants: while a process is short of time, the busiest tenant waits for itself and not the others for it."""

from __future__ import annotations

import asyncio
from collections import deque

from pointsman.kit.problems import Kind, Problem

_BEAT = 0.01  # seconds between two looks at how late the loop is
_LATE = 0.003  # seconds of lateness from on which the loop counts as short of time
_WEIGHT = 0.25  # of the newest look in the mean of all
_LEAST = 4  # requests that a tenant always may have under way
_SHRINKAGE = 0.9  # of the bound with each look that finds the loop late
_GROWTH = 1.005  # with each that does not: quickly down, slowly up, or the bound would swing
_ACTIVE = 1.0  # seconds since its last request for which a tenant counts as one that wants something
_MOST_WAITING = 512  # requests of one tenant
_LONGEST_WAIT = 10.0  # seconds


class TenantBusy(Problem):
    """The gateway is short of time, and this tenant has more requests under way than any other, or than one tenant may have at all.

    Others go first until it has fewer. Send fewer requests at the same time, and retry after the seconds in `Retry-After`; nothing was
    done and nothing was counted. Operators add replicas, or change `POINTSMAN_LIMITS__TENANT_SHARE`.
    """

    kind = Kind.LIMITED
    code = "tenant-busy"
    title = "Too many requests of this tenant at the same time"


class Fairness:
    """How many requests each tenant has under way, and how many it may have.

    With one tenant, or with time to spare, that is `most`. When the loop is late while several tenants want something, the bound
    shrinks for all of them alike until it is not, which only the busiest feel; then it grows again. What is over the bound waits,
    which costs nothing, and is refused only after some seconds or behind a queue that is full.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = float(most)
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._asked_at: dict[str, float] = {}
        self._lateness = 0.0
        self._due = 0.0
        self._looking = False

    def room(self) -> float:
        """How many requests a tenant may have under way at this moment."""
        return self._room

    async def enter(self, tenant: str) -> None:
        """Take a place; `leave` gives it back. Raises TenantBusy."""
        loop = asyncio.get_running_loop()
        self._asked_at[tenant] = loop.time()
        if not self._looking:
            self._look_again(loop)
        if self._under_way.get(tenant, 0) >= self._room:
            await self._wait(tenant)
        else:
            self._under_way[tenant] = self._under_way.get(tenant, 0) + 1

    def leave(self, tenant: str) -> None:
        """The request has been answered."""
        left = self._under_way[tenant] - 1
        if left:
            self._under_way[tenant] = left
        else:
            del self._under_way[tenant]
        self._let_in(tenant)

    async def _wait(self, tenant: str) -> None:
        queue = self._waiting.get(tenant) or deque[asyncio.Future[None]]()
        if self._room >= self._most or len(queue) >= _MOST_WAITING:
            raise _busy()
        self._waiting[tenant] = queue
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
        queue = self._waiting.get(tenant)
        while queue and self._under_way.get(tenant, 0) < self._room:
            place = queue.popleft()
            if not place.done():  # else it has given up
                self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
                place.set_result(None)
        if queue is not None and not queue:
            del self._waiting[tenant]

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = True
        self._due = loop.time() + _BEAT
        loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._lateness += (max(0.0, now - self._due) - self._lateness) * _WEIGHT
        self._asked_at = {tenant: at for tenant, at in self._asked_at.items() if now - at < _ACTIVE or tenant in self._waiting}
        self._room = self._fitting_room()
        for tenant in list(self._waiting):
            self._let_in(tenant)
        if self._asked_at or self._room < self._most:
            self._look_again(loop)
        else:
            self._looking, self._lateness = False, 0.0

    def _fitting_room(self) -> float:
        if len(self._asked_at) <= 1:  # there is nobody to be fair to
            return self._most
        if self._lateness > _LATE:
            return max(_LEAST, min(self._room, max(self._under_way.values(), default=0)) * _SHRINKAGE)
        return min(self._most, self._room * _GROWTH)


def _busy() -> TenantBusy:
    return TenantBusy(hint="Send fewer requests at the same time.", retry_after=1)
