"""The share of each tenant: all of it with time to spare, less for the busiest while the process is late, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from pointsman.api.fairness import Fairness, TenantBusy

MOST = 100


@asynccontextmanager
async def a_late_loop() -> AsyncGenerator[None]:
    """Something that keeps the loop busy, again and again."""

    async def keep_busy() -> None:
        while True:
            time.sleep(0.015)
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_busy())
    try:
        yield
    finally:
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def pressed(fairness: Fairness, busy: str = "busy", quiet: str = "quiet") -> None:
    """Two tenants that want something of a late loop, until the bound is far below what the busy one has under way."""
    for _ in range(40):
        await fairness.enter(busy)
    async with a_late_loop():
        while fairness.room() > 20:
            await fairness.enter(quiet)
            fairness.leave(quiet)
            await asyncio.sleep(0)


async def test_a_tenant_alone_may_have_all_there_is_however_late_the_loop() -> None:
    fairness = Fairness(MOST)
    async with a_late_loop():
        for _ in range(MOST):
            await fairness.enter("only")
            await asyncio.sleep(0)
    assert fairness.room() == MOST
    with pytest.raises(TenantBusy) as refused:
        await fairness.enter("only")
    assert refused.value.retry_after == 1
    fairness.leave("only")
    await fairness.enter("only")


async def test_while_the_loop_is_late_the_busiest_waits_and_the_other_does_not() -> None:
    fairness = Fairness(MOST)
    await pressed(fairness)
    more = asyncio.create_task(fairness.enter("busy"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not more.done()
    await asyncio.wait_for(fairness.enter("quiet"), 5)
    for _ in range(40):
        fairness.leave("busy")
    await asyncio.wait_for(more, 5)


async def test_a_bound_that_shrank_grows_again_when_there_is_time() -> None:
    fairness = Fairness(MOST)
    await pressed(fairness)
    await until(lambda: fairness.room() == MOST)


async def test_whoever_waits_is_let_in_in_the_order_of_coming() -> None:
    fairness, order = Fairness(MOST), list[int]()
    await pressed(fairness)

    async def enter(number: int) -> None:
        await fairness.enter("busy")
        order.append(number)

    waiting = [asyncio.create_task(enter(number)) for number in range(5)]
    await asyncio.sleep(0)
    for _ in range(40):
        fairness.leave("busy")
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_whoever_is_cancelled_while_it_waits_leaves_no_place_taken() -> None:
    fairness = Fairness(MOST)
    await pressed(fairness)
    waiting = [asyncio.create_task(fairness.enter("busy")) for _ in range(8)]
    await asyncio.sleep(0)
    for task in waiting[:4]:
        task.cancel()
    for _ in range(40):
        fairness.leave("busy")
    # Cancelled in the same moment in which it was let in.
    waiting[4].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    entered = sum(not task.cancelled() for task in waiting)
    for _ in range(entered):
        fairness.leave("busy")
    with pytest.raises(KeyError):
        fairness.leave("busy")
