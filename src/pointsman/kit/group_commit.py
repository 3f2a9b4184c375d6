"""Group commit: whatever asks to be written while a write is under way goes out together in the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import asyncpg
import structlog

from pointsman.kit import failpoints
from pointsman.kit.db import AWAY, Connection, Database
from pointsman.kit.failpoints import Failpoint
from pointsman.kit.problems import Unavailable

Op = TypeVar("Op")
Result = TypeVar("Result")
Write = Callable[[Connection, Sequence[Op]], Awaitable[Sequence[Result]]]

log = structlog.get_logger()

# Between attempts while the database is away. A turn is three commits one after the other, each of which may just have begun to wait.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.25


@dataclass(slots=True)
class _Waiting(Generic[Op, Result]):
    op: Op
    deadline: float
    done: asyncio.Future[Result]
    tried: bool = field(default=False)


class GroupCommit(Generic[Op, Result]):
    """Commits operations in batches over one statement or transaction each.

    `write` must be safe to repeat: when the connection dies during a commit nobody knows whether it took effect, and the same
    operations are written again. A batch that the database refuses is retried one by one, so that one bad row never fails its
    neighbours.
    """

    def __init__(
        self,
        db: Database,
        write: Write[Op, Result],
        *,
        name: str,
        key: Callable[[Op], Hashable] = id,
        most: int = 256,
        timeout: float = 10.0,
        failpoint: Callable[[Op], Failpoint] | None = None,
    ) -> None:
        """Make one; of operations with the same `key` only one goes into a batch, in the order they were asked for.

        `failpoint` says which transition an operation is.
        """
        self._db = db
        self._write = write
        self._name = name
        self._key = key
        self._most = most
        self._timeout = timeout
        self._failpoint = failpoint
        self._queue: list[_Waiting[Op, Result]] = []
        self._wake = asyncio.Event()

    async def commit(self, op: Op, *, patience: float = float("inf")) -> Result:
        """Write it and wait for its own commit.

        While the database is away it is tried again for `patience` seconds; then Unavailable is raised, with `fields["tried"]` true
        where an attempt may have taken effect all the same.
        """
        waiting: _Waiting[Op, Result] = _Waiting(op, time.monotonic() + patience, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        return await waiting.done

    async def run(self) -> None:
        """Write until cancelled."""
        delay = _FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._take():
                try:
                    await self._flush(batch)
                    delay = _FIRST_PAUSE
                except AWAY as error:
                    if delay == _FIRST_PAUSE:  # once an outage, not once an attempt
                        waiting = len(batch) + len(self._queue)
                        log.warning("commit.database_away", writer=self._name, waiting=waiting, error=type(error).__name__)
                    self._keep_waiting(batch)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _LONGEST_PAUSE)
                except BaseException as error:
                    self._break(batch, error)
                    raise

    def _take(self) -> list[_Waiting[Op, Result]]:
        batch: dict[Hashable, _Waiting[Op, Result]] = {}
        later: list[_Waiting[Op, Result]] = []
        for waiting in self._queue:
            key = self._key(waiting.op)
            if len(batch) < self._most and key not in batch:
                batch[key] = waiting
            else:
                later.append(waiting)
        self._queue = later
        return list(batch.values())

    async def _flush(self, batch: list[_Waiting[Op, Result]]) -> None:
        try:
            await self._attempt(batch)
        except asyncpg.PostgresError as error:
            if isinstance(error, AWAY):
                raise
            if len(batch) > 1:
                for waiting in batch:
                    await self._flush([waiting])
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)

    async def _attempt(self, batch: list[_Waiting[Op, Result]]) -> None:
        async with self._db.lent() as connection, asyncio.timeout(self._timeout):
            for waiting in batch:
                waiting.tried = True
            results = await self._written(connection, [waiting.op for waiting in batch])
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(result)

    async def _written(self, connection: Connection, ops: list[Op]) -> Sequence[Result]:
        if self._failpoint is None or not failpoints.are_armed():
            return await self._write(connection, ops)
        points = {point.name: point for point in map(self._failpoint, ops)}
        return await failpoints.around(points.values(), connection, lambda: self._write(connection, ops))

    def _break(self, batch: list[_Waiting[Op, Result]], error: BaseException) -> None:
        """Nobody waits for ever for a writer that was stopped or has a defect; whoever runs it may run it again."""
        for waiting in batch:
            if isinstance(error, asyncio.CancelledError):
                waiting.done.cancel()
            elif not waiting.done.done():
                broken = RuntimeError(f"the writer {self._name} broke")
                broken.__cause__ = error
                waiting.done.set_exception(broken)

    def _keep_waiting(self, batch: list[_Waiting[Op, Result]]) -> None:
        now = time.monotonic()
        again: list[_Waiting[Op, Result]] = []
        for waiting in batch + self._queue:
            if waiting.done.done():
                continue
            if waiting.deadline > now:
                again.append(waiting)
            else:
                waiting.done.set_exception(
                    Unavailable(
                        "The database is not answering.", hint="Nothing was lost. Retry in a moment.", retry_after=1, tried=waiting.tried
                    )
                )
        self._queue[:] = again
        self._wake.set()
