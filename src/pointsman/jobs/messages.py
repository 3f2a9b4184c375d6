"""What the queue is told about a job: that it has something to do, once for each time that it becomes so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pointsman.jobs.queue.port import Message
from pointsman.kit.db import Record


def message_of(job: Record, delay: timedelta = timedelta()) -> Message:
    """From a row with job_id, worker_pool, priority and `sent`, the number of this message."""
    return Message("job", str(job["job_id"]), job["worker_pool"], job["priority"], delay, f"job:{job['job_id']}:{job['sent']}")


def messages_of(jobs: Iterable[Record]) -> list[Message]:
    """The same for several."""
    return [message_of(job) for job in jobs]


def number_of(message: Message) -> int | None:
    """Which of the job's messages it is: what `Claim.message` takes."""
    return int(message.key.rpartition(":")[2]) if message.key else None
