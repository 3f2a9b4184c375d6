"""While PostgreSQL is away callers are told to come back, and when it is back they are served (G6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from tests.api.edge_scene import SmallGateway, client_of, make_app, make_key
from tests.conftest import OPTIONS, cluster_home

from pointsman.kit.db import Database, connect
from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.migrations import migrate
from pointsman.settings import Settings


async def test_a_stopped_database_is_503_and_a_restarted_one_serves(settings: Settings, tmp_path: Path) -> None:
    with cluster_home(tmp_path) as home:
        server = EmbeddedPostgres(home, extra_options=OPTIONS)
        dsn = await asyncio.to_thread(server.start)
        try:
            await migrate(dsn)
            owner = await connect(dsn, role=None)
            key = await make_key(owner, "admin", rate_limit=1000)
            await owner.close()
            db = await Database.connect(dsn, pool_size=3)
            try:
                async with client_of(make_app(SmallGateway(settings, db)), key) as client:
                    await _away_and_back(server, client)
            finally:
                await db.close()
        finally:
            await asyncio.to_thread(server.stop)


async def _away_and_back(server: EmbeddedPostgres, client: httpx.AsyncClient) -> None:
    prompt = {"id": "p", "name": "P", "template": "t"}
    assert (await client.get("/v2/prompts")).status_code == 200
    await asyncio.to_thread(server.stop)
    for answer in (
        await client.get("/v2/prompts"),
        await client.post("/v2/prompts", json=prompt),
        await client.post("/v2/prompts", json=prompt, headers={"idempotency-key": "k"}),
        await client.get("/readyz"),
    ):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/livez")).status_code == 200
    await asyncio.to_thread(server.start)
    answer = await client.post("/v2/prompts", json=prompt, headers={"idempotency-key": "k"})
    assert answer.status_code == 201, answer.text
    assert (await client.get("/readyz")).status_code == 200
