"""Replicas of the door: processes that share nothing with each other or the test but the database."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("replica_process.py")


class Replica:
    """A running replica: takes one JSON line as its order, answers with JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def order(self, do: str, **details: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self) -> Any:
        """The next line; None when there will be no more."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        return json.loads(line) if line.endswith(b"\n") else None

    async def answers(self) -> list[Any]:
        """All lines up to the end of the order, or of the process."""
        lines: list[Any] = []
        while (line := await self.answer()) not in (None, "done"):
            lines.append(line)
        return lines

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


StartReplica = Callable[..., Awaitable[Replica]]


async def start_replica(dsn: str, *, deaf: bool = False) -> Replica:
    """Start one and wait until it is ready; a deaf one does not listen to notifications."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_PROGRAM),
        "deaf" if deaf else "listening",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "REPLICA_DSN": dsn},
    )
    replica = Replica(process)
    try:
        assert await replica.answer() == "ready"
    except BaseException:
        await replica.stop()
        raise
    return replica
