"""What one process takes on at the same time: so many requests, so many bytes of bodies, and of each tenant its share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from pointsman.api.fairness import Fairness, TenantBusy
from pointsman.kit.problems import Kind, Problem
from pointsman.settings import LimitSettings


class TooBusy(Problem):
    """This process has as many requests under way, or holds as many bytes of bodies, as it is allowed; this one was refused at once.

    Retry after the seconds in `Retry-After`. The operator's settings are `POINTSMAN_LIMITS__CONNECTIONS` and
    `POINTSMAN_LIMITS__BODIES_BYTES`.
    """

    kind = Kind.UNAVAILABLE
    code = "too-busy"
    title = "Too many requests under way"


class Admission:
    """The bounds of a process; `shed` is told which of them a refused request met."""

    def __init__(self, limits: LimitSettings, shed: Callable[[str], None]) -> None:
        self._limits = limits
        self._shed = shed
        self._fairness = Fairness(max(1, int(limits.connections * limits.tenant_share)))
        self._under_way = 0
        self._bytes = 0

    def tenant_pace(self) -> float:
        """How many requests a second each tenant may begin at this moment; infinite with time to spare."""
        return self._fairness.pace()

    def request(self, *, always: bool) -> Place:
        """A place for one request, to be left when it has been answered; `always` for those that are never refused.

        Raises TooBusy.
        """
        if self._under_way >= self._limits.connections and not always:
            raise self._refused("connections")
        self._under_way += 1
        return Place(self)

    async def enter_tenant(self, tenant: str) -> None:
        """Raises TenantBusy."""
        try:
            await self._fairness.enter(tenant)
        except TenantBusy:
            self._shed("tenant")
            raise

    def hold(self, size: int) -> None:
        """Count bytes of a body. Raises TooBusy."""
        if self._bytes + size > self._limits.bodies_bytes:
            raise self._refused("bodies")
        self._bytes += size

    def leave(self, tenant: str | None, size: int) -> None:
        """Give back what a request had."""
        self._under_way -= 1
        self._bytes -= size
        if tenant is not None:
            self._fairness.leave(tenant)

    def _refused(self, bound: str) -> TooBusy:
        self._shed(bound)
        return TooBusy(retry_after=1)


class Place:
    """What one request has of a process's room."""

    __slots__ = ("_admission", "_size", "_tenant")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._tenant: str | None = None
        self._size = 0

    async def of(self, tenant: str) -> None:
        """It is this tenant's. May wait while the process is short of time; raises TenantBusy."""
        await self._admission.enter_tenant(tenant)
        self._tenant = tenant

    def hold(self, size: int) -> None:
        """It has so many more bytes of a body. Raises TooBusy."""
        self._admission.hold(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.leave(self._tenant, self._size)
