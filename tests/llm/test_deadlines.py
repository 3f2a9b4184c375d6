"""One timer for many waits: it ends the wait that it falls into, and nothing between two."""

from __future__ import annotations

import asyncio

import pytest

from pointsman.llm.deadlines import Deadline


def soon(seconds: float) -> Deadline:
    return Deadline(asyncio.get_running_loop().time() + seconds)


async def test_the_wait_that_it_falls_into_times_out_and_the_task_goes_on() -> None:
    deadline = soon(0.02)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.sleep(5)
    assert asyncio.current_task().cancelling() == 0  # pyright: ignore[reportOptionalMemberAccess]
    await asyncio.sleep(0)


async def test_between_two_waits_nobody_is_cancelled_and_the_next_one_is_refused() -> None:
    deadline = soon(0.02)
    with deadline:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError), deadline:
        raise AssertionError("too late to begin")


async def test_a_task_that_is_cancelled_meanwhile_stays_cancelled() -> None:
    async def wait() -> None:
        with soon(60):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
