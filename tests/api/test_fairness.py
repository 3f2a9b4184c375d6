"""The pace of each tenant: any with time to spare, a lower one while the process is short of time, which only the busiest feels."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from pointsman.api.fairness import Fairness, TenantBusy

MOST = 100


@asynccontextmanager
async def a_busy_loop() -> AsyncGenerator[None]:
    """Something that keeps the loop at work, again and again."""

    async def keep_busy() -> None:
        while True:
            until = time.thread_time() + 0.004
            while time.thread_time() < until:
                pass
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


async def ask(fairness: Fairness, tenant: str, times: int = 1) -> None:
    for _ in range(times):
        await fairness.enter(tenant)
        fairness.leave(tenant)


@asynccontextmanager
async def two_tenants(fairness: Fairness) -> AsyncGenerator[None]:
    """One that asks as fast as it can, and one that asks now and then."""

    async def noisy() -> None:
        while True:
            await ask(fairness, "noisy")
            await asyncio.sleep(0)

    async def quiet() -> None:
        while True:
            await ask(fairness, "quiet")
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(noisy()) for _ in range(20)] + [asyncio.create_task(quiet())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_tenant_alone_is_as_fast_as_it_likes_however_busy_the_loop() -> None:
    fairness = Fairness(MOST)
    async with a_busy_loop():
        for _ in range(200):
            await ask(fairness, "only")
            await asyncio.sleep(0)
    assert fairness.pace() == math.inf


async def test_a_tenant_has_so_many_requests_under_way_and_no_more() -> None:
    fairness = Fairness(MOST)
    for _ in range(MOST):
        await fairness.enter("only")
    with pytest.raises(TenantBusy) as refused:
        await fairness.enter("only")
    assert refused.value.retry_after == 1
    await fairness.enter("another")
    fairness.leave("only")
    await fairness.enter("only")


async def test_while_the_loop_is_short_of_time_the_busiest_waits_and_the_other_does_not() -> None:
    fairness = Fairness(MOST)
    async with two_tenants(fairness), a_busy_loop():
        await until(lambda: fairness.pace() < 200)
        crowd = [asyncio.create_task(ask(fairness, "noisy")) for _ in range(50)]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(ask(fairness, "quiet"))
        await quiet
        assert not all(task.done() for task in crowd)
        await asyncio.gather(*crowd)


async def test_a_pace_that_fell_is_lifted_when_nobody_else_wants_anything() -> None:
    fairness = Fairness(MOST)
    async with two_tenants(fairness), a_busy_loop():
        await until(lambda: fairness.pace() < 200)
    await until(lambda: fairness.pace() == math.inf)


async def test_whoever_waits_is_let_in_in_the_order_of_coming() -> None:
    fairness, order = Fairness(MOST), list[int]()

    async def enter(number: int) -> None:
        await ask(fairness, "noisy")
        order.append(number)

    async with two_tenants(fairness), a_busy_loop():
        await until(lambda: fairness.pace() < 200)
        crowd = [asyncio.create_task(enter(number)) for number in range(20)]
        await asyncio.gather(*crowd)
    assert order == sorted(order)


async def test_whoever_is_cancelled_while_it_waits_leaves_no_place_taken() -> None:
    fairness = Fairness(MOST)
    async with two_tenants(fairness), a_busy_loop():
        await until(lambda: fairness.pace() < 200)
        waiting = [asyncio.create_task(fairness.enter("noisy")) for _ in range(30)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    for task in waiting:
        if not task.cancelled():
            fairness.leave("noisy")
    for _ in range(MOST):
        await fairness.enter("noisy")
