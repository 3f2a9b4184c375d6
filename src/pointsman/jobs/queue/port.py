"""The queue's port: messages that say 'this has something to do', sent within the transaction that makes it so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from pointsman.kit.db import Connection

MessageKind = Literal["job", "supervise", "index"]


@dataclass(frozen=True, slots=True)
class Message:
    """`id` of a job, a run or a knowledge entry has something to do in `pool`, after `delay`. A higher `priority` (0 to 9) goes first.

    Of messages with the same `key` the queue holds one at a time: a second is dropped.
    """

    kind: MessageKind
    id: str
    pool: str
    priority: int = 5
    delay: timedelta = timedelta()
    key: str | None = None


Handler = Callable[[Message], Coroutine[Any, Any, timedelta | None]]
"""Handles a message: None when that is done with, else after how long it is to come again. One that raises has it come again later."""


class Queue(Protocol):
    """Takes messages out, for one process; each is handled by one live process at a time, and by another one when that dies."""

    @property
    def in_hand(self) -> int:
        """How many messages are being handled."""
        ...

    def start(self) -> None:
        """Begin; handlers run on the loop that calls this."""
        ...

    def pause(self) -> None:
        """Take nothing more; what is in hand goes on."""
        ...

    async def stop(self, patience: timedelta) -> None:
        """Take nothing more, wait so long for the handlers, cancel the rest, and put their messages back for others."""
        ...


class Enqueue(Protocol):
    """Sends messages within the caller's transaction."""

    async def __call__(self, connection: Connection, messages: Sequence[Message]) -> None:
        """They are there if and only if the transaction commits. Raises AssertionError outside of one."""
        ...
