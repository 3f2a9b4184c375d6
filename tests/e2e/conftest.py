"""What the end-to-end tests share: a fake upstream in a process of its own, and replicas that notice a death quickly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.calling import Caller
from tests.e2e.gateways import GatewayProcess, start_gateway
from tests.fakes.upstream import Upstream, start_upstream

QUICK = {"POINTSMAN_RUNS__HEARTBEAT": "0.3", "POINTSMAN_RUNS__DEAD_AFTER": "2", "POINTSMAN_LOG__LEVEL": "warning"}

Start = Callable[..., Coroutine[Any, Any, GatewayProcess]]
Call = Callable[[GatewayProcess, str], Caller]


@pytest.fixture(scope="session")
def running_upstream() -> Generator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    running_upstream.reset()
    return running_upstream


@pytest.fixture
async def start(upstream: Upstream, tmp_path: Path) -> AsyncGenerator[Start]:
    """Starts replicas on a database; all are gone afterwards."""
    started: list[GatewayProcess] = []

    async def one(dsn: str, **variables: str) -> GatewayProcess:
        gateway = await asyncio.to_thread(lambda: start_gateway(dsn, tmp_path, upstream, **{**QUICK, **variables}))
        started.append(gateway)
        return gateway

    yield one
    for gateway in started:
        gateway.stop()


@pytest.fixture
async def call() -> AsyncGenerator[Call]:
    """Makes callers of a replica with a key; all are closed afterwards."""
    made: list[Caller] = []

    def one(gateway: GatewayProcess, key: str) -> Caller:
        made.append(Caller(gateway.url, key))
        return made[-1]

    yield one
    for caller in made:
        await caller.aclose()
