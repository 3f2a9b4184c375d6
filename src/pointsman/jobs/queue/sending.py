"""Sends messages within the caller's transaction, as PgQueuer's own statement does, without loading PgQueuer into what only sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pointsman.jobs.queue.port import Message, MessageKind
from pointsman.kit.db import Connection

# A test holds what it writes against what PgQueuer's own statement writes. There is no entry in PgQueuer's log of what was queued:
# nothing reads it, and it would be a fifth of all rows.
_ENQUEUE = """
INSERT INTO queue.pgqueuer (priority, entrypoint, payload, execute_after, dedupe_key, status)
SELECT m.priority, m.entrypoint, m.payload, now() + m.delay, m.key, 'queued'
FROM unnest($1::int[], $2::text[], $3::bytea[], $4::interval[], $5::text[]) AS m (priority, entrypoint, payload, delay, key)
ON CONFLICT (dedupe_key) WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL DO NOTHING
"""


def entrypoint(kind: MessageKind, pool: str) -> str:
    """What PgQueuer calls the messages of a kind for a pool."""
    return f"{kind}:{pool}"


def payload_of(message: Message) -> bytes:
    """What PgQueuer carries."""
    return (message.id if message.key is None else f"{message.id} {message.key}").encode()


def read_message(entrypoint: str, payload: bytes, priority: int) -> Message:
    """The message that was sent."""
    kind, _, pool = entrypoint.partition(":")
    id_, _, key = payload.decode().partition(" ")
    return Message(cast("MessageKind", kind), id_, pool, priority, key=key or None)


async def enqueue(connection: Connection, messages: Sequence[Message]) -> None:
    """Send them if and only if the caller's transaction commits."""
    # A statement that commits by itself would leave a message about something that may then not be done.
    assert connection.is_in_transaction(), "messages are sent within the transaction that makes them true"
    if not messages:
        return
    await connection.execute(
        _ENQUEUE,
        [message.priority for message in messages],
        [entrypoint(message.kind, message.pool) for message in messages],
        [payload_of(message) for message in messages],
        [message.delay for message in messages],
        [message.key for message in messages],
    )
