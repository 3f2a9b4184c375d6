"""A real gateway is killed in the middle of an erasure; the next start finishes it, and says so over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.gateways import admin_key, start_gateway
from tests.fakes.upstream import Upstream
from tests.sessions.session_scene import Talk

from pointsman.kit.db import Connection

SESSIONS, EVENTS = 60, 200


async def test_a_gateway_killed_amid_an_erasure_leaves_it_to_the_next_start(
    dsn: str, tmp_path: Path, upstream: Upstream, talk: Talk, owner: Connection
) -> None:
    for number in range(SESSIONS):
        run = await talk.turn(f"s{number}", tenant="acme", user="ann")
        add = "INSERT INTO run_events (run_id, seq, last_seq, data) SELECT $1, n, n, '[]' FROM generate_series(100, 99 + $2::int) n"
        await owner.execute(add, run, EVENTS)
    await talk.turn("bobs", tenant="acme", user="bob")
    key = await admin_key(dsn, tmp_path)
    headers = {"x-api-key": key, "x-pointsman-tenant": "acme"}
    gateway = await asyncio.to_thread(start_gateway, dsn, tmp_path / "first", upstream)
    try:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client:
            refused = await client.delete("/v2/users/ann/data")
            assert (refused.status_code, refused.json()["code"]) == (409, "export-required")
            exported = await client.get("/v2/users/ann/export")
            *lines, end = [json.loads(line) for line in exported.text.splitlines()]
            assert end["counts"]["message"] == 2 * SESSIONS == sum(line["kind"] == "message" for line in lines)
            answer = await client.delete("/v2/users/ann/data", params={"export_id": end["export_id"]})
            assert answer.status_code == 202
            erasure: dict[str, Any] = answer.json()
            async with asyncio.timeout(30):
                while not (await counts(owner)).get("sessions"):
                    await asyncio.sleep(0.01)
    finally:
        gateway.kill()
    assert 0 < (await counts(owner))["sessions"] < SESSIONS * (EVENTS + 6)
    assert await owner.fetchval("SELECT status FROM erasures") == "running"
    gateway = await asyncio.to_thread(start_gateway, dsn, tmp_path / "second", upstream)
    try:
        async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=30) as client, asyncio.timeout(60):
            while (done := (await client.get(f"/v2/erasures/{erasure['id']}")).json())["status"] != "completed":
                await asyncio.sleep(0.1)
            assert done["counts"]["sessions"] == SESSIONS * (EVENTS + 6)
            assert [row["id"] for row in (await client.get("/v2/sessions")).json()["items"]] == ["bobs"]
            assert (await client.get("/v2/erasures/era_none")).status_code == 404
            assert (await client.delete("/v2/tenants/acme", params={"without_export": True})).status_code == 403
    finally:
        gateway.stop()


async def counts(owner: Connection) -> dict[str, int]:
    return json.loads(await owner.fetchval("SELECT counts FROM erasures"))
