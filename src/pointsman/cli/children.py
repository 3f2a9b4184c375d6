"""The workers that `pointsman up` starts: processes of their own, started again when they die, drained when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from pointsman.cli.output import say
from pointsman.settings import Settings

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_LONG_ENOUGH = 60.0  # seconds of life after which a death is no longer counted with those before
_GRACE = 2.0  # beyond the drain time, in which a worker has to end by itself


@asynccontextmanager
async def workers(settings: Settings, count: int, stopping: asyncio.Event) -> AsyncGenerator[None]:
    """Keep so many running until `stopping` is set or the block ends; at its end they are gone."""
    keepers = [asyncio.create_task(_keep(settings, stopping), name=f"worker {number + 1}") for number in range(count)]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*keepers)


async def _keep(settings: Settings, stopping: asyncio.Event) -> None:
    pause = _FIRST_PAUSE
    while not stopping.is_set():
        began = time.monotonic()
        status = await _run(settings, stopping)
        if stopping.is_set():
            return
        pause = _FIRST_PAUSE if time.monotonic() - began > _LONG_ENOUGH else pause
        say(f"a worker ended ({_how(status)}); another one starts in {pause:g} s")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stopping.wait()
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _run(settings: Settings, stopping: asyncio.Event) -> int:
    """One worker's life. It holds our pipe as its standard input, so that it also ends when we are killed."""
    process = await asyncio.create_subprocess_exec(
        *command(settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        # Ctrl-C in a terminal goes to the whole group; who stops when is said here.
        start_new_session=True,
    )
    ended = asyncio.create_task(process.wait())
    told = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain_seconds + _GRACE):
                await asyncio.shield(ended)
    finally:
        told.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await ended
    return ended.result()


def command(settings: Settings) -> Sequence[str]:
    """What a worker is started with; everything else it reads from the environment, as we did."""
    return [sys.executable, "-m", "pointsman", "worker", "--attached", "--data-dir", os.fspath(settings.data_dir)]


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
