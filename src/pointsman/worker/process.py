"""A worker's process from a database that runs to its end: signals, and the bound within which it drains."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator
from datetime import timedelta

import structlog

from pointsman.bootstrap.worker import Worker
from pointsman.settings import Settings

log = structlog.get_logger()

# Of the drain time: for what is in hand to end by itself. What is left is for sandboxes to be closed and messages to be put back.
_PATIENT_SHARE = 0.6


async def work_until_stopped(settings: Settings, dsn: str, *, pool: str, slots: int, attached: bool, ready: Callable[[str], None]) -> None:
    """Do jobs of a pool until SIGTERM or SIGINT (or, if `attached`, until standard input ends); `ready` gets the worker's id.

    Raises what opening the database raises.
    """
    stopping = asyncio.Event()
    with _stopped_by_signals(stopping), _stopped_with_parent(stopping, attached=attached):
        worker = await Worker.open(settings, dsn, pool=pool, slots=slots)
        try:
            await worker.start()
            ready(worker.id)
            await stopping.wait()
            log.info("worker.draining", in_hand=worker.in_hand)
        finally:
            await worker.close(patience=timedelta(seconds=settings.drain_seconds * _PATIENT_SHARE))


@contextlib.contextmanager
def _stopped_by_signals(stopping: asyncio.Event) -> Generator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _stopped_with_parent(stopping: asyncio.Event, *, attached: bool) -> Generator[None]:
    """Whoever started us holds the other end of standard input: when it is gone, so are we, however it went."""
    if not attached:
        yield
        return
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            stopping.set()

    loop.add_reader(stdin, readable)
    try:
        yield
    finally:
        loop.remove_reader(stdin)
