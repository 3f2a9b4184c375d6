"""The queue's port: messages that say 'this has something to do', sent within the transaction that makes it so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

from pointsman.kit.db import Connection

MessageKind = Literal["job", "supervise"]


@dataclass(frozen=True, slots=True)
class Message:
    """`id` of a job or a run has something to do in `pool`, after `delay`. A higher `priority` (0 to 9) goes first.

    Of messages with the same `key` the queue holds one at a time: a second is dropped.
    """

    kind: MessageKind
    id: str
    pool: str
    priority: int = 5
    delay: timedelta = timedelta()
    key: str | None = None


Handler = Callable[[Message], Awaitable[None]]


class Queue(Protocol):
    """What takes messages out; each is handled by one live process at a time, and by another one when that dies."""

    async def run(self, handlers: Mapping[MessageKind, Handler]) -> None:
        """Work until cancelled. A handler that has returned has done with its message."""
        ...


class Enqueue(Protocol):
    """Sends messages within the caller's transaction."""

    async def __call__(self, connection: Connection, messages: Sequence[Message]) -> None:
        """They are there if and only if the transaction commits. Raises AssertionError outside of one."""
        ...
