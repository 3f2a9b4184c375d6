"""A moment by which something must be over, for many short waits: one timer in all, where each `asyncio.timeout` would make its own."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Deadline:
    """`with deadline:` around each wait raises TimeoutError once the moment has come; between waits it cancels nobody.

    Close it with `close`. The waits may not overlap.
    """

    __slots__ = ("_cancelled", "_cancelled_before", "_is_over", "_task", "_timer")

    def __init__(self, at: float) -> None:
        self._task: asyncio.Task[Any] | None = None  # the one that waits
        self._cancelled = False
        self._cancelled_before = 0
        self._is_over = False
        self._timer = asyncio.get_running_loop().call_at(at, self._end)

    def close(self) -> None:
        """Forget it."""
        self._timer.cancel()

    def __enter__(self) -> None:
        if self._is_over:
            raise TimeoutError
        self._task = task = asyncio.current_task()
        assert task is not None
        self._cancelled_before = task.cancelling()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        if self._cancelled and task is not None:
            self._cancelled = False
            # Somebody else may have cancelled the task too: then it is not for us to say that it goes on.
            if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _end(self) -> None:
        self._is_over = True
        if self._task is not None:
            self._cancelled = self._task.cancel()
