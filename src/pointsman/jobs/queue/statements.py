"""The statements of whoever takes messages out: PgQueuer's pick, and ours for what it would do to messages that have changed hands."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId

from pointsman.jobs.queue.port import MessageKind
from pointsman.jobs.queue.schema import SETTINGS
from pointsman.jobs.queue.sending import entrypoint
from pointsman.kit.db import Connection, Record

_PICKING = QueryQueueBuilder(SETTINGS)
# PgQueuer's own statements beat, remove and put back by number alone. Somebody presumed dead would then remove the message that
# another works on, and nobody would come for that one's job when it dies.
_MINE = "id = ANY($1::bigint[]) AND queue_manager_id = $2 AND status = 'picked'"
_BEAT = f"UPDATE queue.pgqueuer SET heartbeat = now() WHERE {_MINE}"  # noqa: S608 - a constant of this file, as below
_REMOVE = f"DELETE FROM queue.pgqueuer WHERE {_MINE}"  # noqa: S608
_PUT_BACK = f"""
UPDATE queue.pgqueuer
   SET status = 'queued', execute_after = now() + $3::interval, attempts = attempts + 1, updated = now(), queue_manager_id = NULL
 WHERE {_MINE}
"""  # noqa: S608
_FORGET_PICKS = "DELETE FROM queue.pgqueuer_log WHERE created < now() - $1::interval"
_LONGEST = 10.0  # seconds: on a line that fell silent nothing would ever end


def entrypoints(kinds: Iterable[MessageKind], pools: Sequence[str]) -> list[str]:
    """What is picked by who handles these kinds in these pools."""
    return [entrypoint(kind, pool) for kind in kinds for pool in pools]


async def prepare(connection: Connection, announced: Callable[[], None]) -> None:
    """Hear of new messages. Nothing that is written here has to survive a crash: a pick or a removal that is lost is only repeated."""
    await connection.execute("SET synchronous_commit = off", timeout=_LONGEST)

    def received(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
        if '"insert"' in payload:  # that others remove theirs is no news
            announced()

    await connection.add_listener(SETTINGS.channel, received)


async def pick(connection: Connection, names: Sequence[str], owner: uuid.UUID, *, most: int, dead_after: timedelta) -> list[Record]:
    """Messages that are due, or whose owner's heart has stopped; they are `owner`'s from now on."""
    query = _PICKING.build_dequeue_query(
        batch_size=most,
        entrypoints=[QueueEntrypoint(name) for name in names],
        concurrency_limits=[0] * len(names),
        queue_manager_id=QueueManagerId(owner),
        global_concurrency_limit=None,
        heartbeat_timeout=dead_after,
    )
    async with asyncio.timeout(_LONGEST):
        return await connection.fetch(query.sql, *query.args)


async def beat(connection: Connection, owner: uuid.UUID, numbers: Sequence[int]) -> None:
    """Say that who holds these lives."""
    await connection.execute(_BEAT, numbers, owner, timeout=_LONGEST)


async def remove(connection: Connection, owner: uuid.UUID, numbers: Sequence[int]) -> None:
    """They are done with."""
    await connection.execute(_REMOVE, numbers, owner, timeout=_LONGEST)


async def put_back(connection: Connection, owner: uuid.UUID, number: int, delay: timedelta) -> None:
    """Somebody, after a while, is to handle it."""
    await connection.execute(_PUT_BACK, [number], owner, delay, timeout=_LONGEST)


async def forget_picks(connection: Connection, older_than: timedelta) -> None:
    """PgQueuer's pick writes a log, which nothing reads."""
    await connection.execute(_FORGET_PICKS, older_than)
