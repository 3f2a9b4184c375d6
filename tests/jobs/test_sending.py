"""What we send is what PgQueuer sends, within our transaction or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pgqueuer.adapters.persistence.qb import QueryQueueBuilder

from pointsman.jobs.queue.port import Message
from pointsman.jobs.queue.schema import SETTINGS
from pointsman.jobs.queue.sending import enqueue, entrypoint, payload_of, read_message
from pointsman.kit.db import Connection, Database

MESSAGES = [
    Message("job", "one", "linux_worker_pool", 7, key="job:one:1"),
    Message("supervise", "run_1", "gpu", delay=timedelta(minutes=5)),
]


async def rows(owner: Connection) -> list[tuple[Any, ...]]:
    """Everything but the numbers and the moments, of which the distance counts."""
    found = await owner.fetch(
        """
        SELECT priority, queue_manager_id, status::text, entrypoint, dedupe_key, payload, headers, attempts, slot, execute_after - created
        FROM queue.pgqueuer ORDER BY id
        """
    )
    return [tuple(row[place] for place in range(10)) for row in found]


async def test_a_message_is_what_the_library_would_have_sent(db: Database, owner: Connection) -> None:
    async with db.transaction() as connection:
        await enqueue(connection, MESSAGES)
    ours = await rows(owner)
    await owner.execute("DELETE FROM queue.pgqueuer")
    await owner.execute(
        QueryQueueBuilder(SETTINGS).build_enqueue_query(),
        [message.priority for message in MESSAGES],
        [entrypoint(message.kind, message.pool) for message in MESSAGES],
        [payload_of(message) for message in MESSAGES],
        [message.delay for message in MESSAGES],
        [message.key for message in MESSAGES],
        [None for _ in MESSAGES],
    )
    assert ours == await rows(owner)


async def test_of_messages_with_the_same_key_one_is_held(db: Database, owner: Connection) -> None:
    async with db.transaction() as connection:
        await enqueue(connection, [MESSAGES[0], MESSAGES[0]])
        await enqueue(connection, [MESSAGES[0]])
    assert len(await rows(owner)) == 1


async def test_a_transaction_that_is_undone_has_sent_nothing(db: Database, owner: Connection) -> None:
    async with db.connection() as connection:
        await connection.execute("BEGIN")
        await enqueue(connection, MESSAGES)
        await connection.execute("ROLLBACK")
    assert await rows(owner) == []


@pytest.mark.parametrize("message", MESSAGES)
def test_what_was_sent_is_read_again(message: Message) -> None:
    read = read_message(entrypoint(message.kind, message.pool), payload_of(message), message.priority)
    assert (read.kind, read.id, read.pool, read.priority, read.key) == (
        message.kind,
        message.id,
        message.pool,
        message.priority,
        message.key,
    )
