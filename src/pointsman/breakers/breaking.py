"""Breakers at work: who may go on, and what came of it. The rows are the truth; a process reads them at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import structlog

from pointsman.breakers import queries
from pointsman.breakers.errors import CircuitOpen
from pointsman.kit.db import Connection, Database
from pointsman.kit.notify import notify
from pointsman.settings import BreakerSettings

TOPIC = "breakers"
_AGE = 1.0  # seconds

log = structlog.get_logger()


class Subject(NamedTuple):
    """What a breaker is about."""

    kind: Literal["engine", "target", "model"]
    name: str

    @property
    def id(self) -> str:
        """Of its breaker."""
        return f"{self.kind}:{self.name}"


class Hints(Protocol):
    """Where news of changes comes from; `kit.notify.Listener` is one."""

    def subscribe(self, topic: str, callback: Callable[[str | None], None], /) -> None: ...


class Breakers:
    """The breakers as one process uses them.

    What works costs nothing: only what has failed lately has a row that is asked. `holder` names one try, so that the one that probes is
    known again.
    """

    def __init__(self, db: Database, hints: Hints, settings: BreakerSettings) -> None:
        self._db = db
        self._settings = settings
        self._troubled: dict[str, bool] = {}  # with whether they are shut
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        hints.subscribe(TOPIC, self._forget)

    async def enter(self, subjects: Sequence[Subject], holder: str) -> None:
        """Go on, or be told until when not. Raises CircuitOpen, Unavailable."""
        known = await self._known()
        troubled = [subject.id for subject in subjects if subject.id in known]
        if not troubled:
            return
        async with self._db.connection() as connection:
            shut = await queries.enter(connection, troubled, holder, self._settings.cool_down)
        if shut is not None:
            raise CircuitOpen(
                f"{shut['id']} failed too often and is left alone until {shut['until']:%H:%M:%S} UTC: {shut['reason']}",
                hint=f"Retry then; GET /v2/breakers shows it, POST /v2/breakers/{shut['id']}/reset closes it.",
                retry_at=shut["until"],
            )

    async def succeeded(self, subjects: Sequence[Subject], holder: str) -> None:
        """They did what they are there for. Raises Unavailable."""
        known = await self._known()
        troubled = [subject.id for subject in subjects if subject.id in known]
        if not troubled:
            return
        async with self._db.transaction() as connection:
            for id_ in await queries.succeed(connection, troubled, holder):
                log.info("breaker.closed", breaker=id_)
                await notify(connection, TOPIC, id_)

    async def failed(self, subject: Subject, holder: str, reason: str) -> CircuitOpen | None:
        """It failed; the problem that others meet from now on, if that was once too often. Raises Unavailable."""
        settings = self._settings
        async with self._db.transaction() as connection:
            until = await queries.fail(
                connection,
                id_=subject.id,
                kind=subject.kind,
                subject=subject.name,
                holder=holder,
                reason=reason,
                most=settings.failures,
                cool_down=settings.cool_down,
                longest=settings.longest,
            )
            await notify(connection, TOPIC, subject.id)
        self._forget()
        if until is None:
            return None
        log.warning("breaker.open", breaker=subject.id, until=until.isoformat(), reason=reason)
        return CircuitOpen(
            f"{subject.id} failed too often and is left alone until {until:%H:%M:%S} UTC: {reason}",
            hint=f"Retry then; POST /v2/breakers/{subject.id}/reset closes it.",
            retry_at=until,
        )

    def is_shut(self, subject: Subject) -> bool:
        """Whether it was, when that was last read: for choosing between several."""
        return self._troubled.get(subject.id, False)

    async def _known(self) -> dict[str, bool]:
        async with self._reading:
            if time.monotonic() - self._read_at > _AGE:
                began = time.monotonic()
                async with self._db.connection() as connection:
                    self._troubled = await _read(connection)
                self._read_at = began
            return self._troubled

    def _forget(self, _id: str | None = None) -> None:
        self._read_at = float("-inf")


async def _read(connection: Connection) -> dict[str, bool]:
    return {row["id"]: row["state"] == "open" and row["is_shut"] for row in await queries.list_troubled(connection)}
