"""Keys over HTTP on three replicas: a limit that is exact, a revocation that is seen, a rotation whose two keys overlap."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.calling import Caller
from tests.e2e.conftest import Call, Start
from tests.e2e.gateways import GatewayProcess, admin_key


async def made_key(admin: Caller, **body: Any) -> dict[str, Any]:
    return await admin.post("/v2/keys", {"name": "tested", "scopes": ["agents:read"], **body})


async def statuses(callers: list[Caller], calls: int) -> Counter[int]:
    """How many of so many parallel calls, spread over the replicas, were answered how."""
    answers = await asyncio.gather(*(callers[number % len(callers)].http.get("/v2/agents") for number in range(calls)))
    return Counter(answer.status_code for answer in answers)


async def three(start: Start, dsn: str) -> list[GatewayProcess]:
    return list(await asyncio.gather(start(dsn), start(dsn), start(dsn)))


async def test_a_hundred_an_hour_on_three_replicas_lets_exactly_a_hundred_pass(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    admin_text = await admin_key(dsn, tmp_path)
    gateways = await three(start, dsn)
    key = await made_key(call(gateways[0], admin_text), rate_limit=100)
    callers = [call(gateway, key["api_key"]) for gateway in gateways]
    assert await statuses(callers, 500) == {200: 100, 429: 400}
    refused = await callers[0].http.get("/v2/agents")
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate-limited"
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["x-ratelimit-remaining"] == "0"


async def test_a_killed_replica_never_lets_one_too_many_pass(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    admin_text = await admin_key(dsn, tmp_path)
    gateways = await three(start, dsn)
    key = await made_key(call(gateways[0], admin_text), rate_limit=100)
    callers = [call(gateway, key["api_key"]) for gateway in gateways]
    passed = 0

    async def ask(caller: Caller) -> None:
        nonlocal passed
        with suppress(httpx.TransportError):  # a killed server breaks connections in every way
            passed += (await caller.http.get("/v2/agents")).status_code == 200

    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(ask(callers[number % 3]))
            if number == 60:
                await asyncio.sleep(0.02)
                gateways[2].kill()
    assert passed <= 100
    # Whatever the dead one had counted is spent: the rest is refused by the living.
    assert await statuses(callers[:2], 20) == {429: 20}


async def test_a_revoked_key_is_refused_by_every_replica_within_a_second(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    admin_text = await admin_key(dsn, tmp_path)
    gateways = await three(start, dsn)
    admin = call(gateways[0], admin_text)
    key = await made_key(admin)
    callers = [call(gateway, key["api_key"]) for gateway in gateways]
    assert await statuses(callers, 30) == {200: 30}
    assert (await admin.http.delete(f"/v2/keys/{key['id']}")).status_code == 204
    # Whatever is asked from a second on, however long this machine takes to answer it.
    await asyncio.sleep(1)
    assert await statuses(callers, 30) == {401: 30}


async def test_a_rotated_key_works_beside_its_successor_until_the_overlap_ends(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    admin_text = await admin_key(dsn, tmp_path)
    gateways = await three(start, dsn)
    admin = call(gateways[0], admin_text)
    old = await made_key(admin)
    before = [call(gateway, old["api_key"]) for gateway in gateways]
    assert await statuses(before, 3) == {200: 3}
    rotated_at = time.monotonic()
    new = await admin.post(f"/v2/keys/{old['id']}/rotate", {"overlap_seconds": 3})
    after = [call(gateway, new["api_key"]) for gateway in gateways]
    assert await statuses([*before, *after], 6) == {200: 6}
    await asyncio.sleep(max(0.0, rotated_at + 4.2 - time.monotonic()))
    assert await statuses(before, 3) == {401: 3}
    assert await statuses(after, 3) == {200: 3}
