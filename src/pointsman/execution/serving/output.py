"""What a served command says, on its way to the caller: bounded, and told in frames of a stream."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator

from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Exited, Stream
from pointsman.execution.serving.schemas import exited
from pointsman.kit import json_text
from pointsman.kit.problems import Problem

_MOST = 32 * 2**20
_PIECE = 192 * 1024  # so that no line is longer than what a reader takes


class Output:
    """Between a command, which cannot wait, and a reader that may be slow."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()

    def hear(self, stream: Stream, data: bytes) -> None:
        """Take a piece. Raises TargetFailed when the reader is too far behind."""
        self._size += len(data)
        if self._size > _MOST:
            raise TargetFailed(f"The command said {_MOST // 2**20} MB more than its reader has taken.")
        for start in range(0, len(data), _PIECE):
            piece = base64.b64encode(data[start : start + _PIECE]).decode()
            self._frames.append(_frame({"stream": stream, "data": piece}))
        self._news.set()

    async def told(self, running: asyncio.Task[Exited]) -> AsyncGenerator[bytes]:
        """Frames until the command has ended, the last one being how."""
        running.add_done_callback(lambda _: self._news.set())
        while True:
            await self._news.wait()
            self._news.clear()
            is_over = running.done()
            frames, self._frames, self._size = self._frames, [], 0
            if frames:
                yield b"".join(frames)
            if is_over:
                yield _frame(_end(running))
                return


def _end(running: asyncio.Task[Exited]) -> dict[str, object]:
    try:
        return {"exited": exited(running.result())}
    except Problem as problem:
        return {"problem": problem.describe()}
    except asyncio.CancelledError:
        return {"problem": TargetFailed("The command was cancelled.").describe()}


def _frame(content: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % json_text.encode(content).encode()
