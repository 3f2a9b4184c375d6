"""Vectors through the door: a gateway with an embedder, its routes, and an agent that searches."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from tests.api.edge_scene import client_of, make_key
from tests.knowledge.knowledge_scene import Scene, knowing

from pointsman.api.app import create_app
from pointsman.bootstrap import Gateway, routers
from pointsman.kit.db import Connection
from pointsman.settings import Settings, SettingsInvalid

AGENT = {
    "id": "helper",
    "name": "Helper",
    "template": "Help.",
    "config": {
        "model": "scripted:helper",
        "knowledge": {},
        "script": {"turns": [{"tool_calls": [{"name": "knowledge_search", "args": {"query": "served"}}]}, {"text": "{tool_result}"}]},
    },
}


@pytest.fixture
async def client(settings: Settings, dsn: str, owner: Connection) -> AsyncGenerator[httpx.AsyncClient]:
    knowledge = knowing(embedder="scripted:words").knowledge
    gateway = await Gateway.open(settings.model_copy(update={"knowledge": knowledge}), dsn)
    await gateway.start()
    try:
        async with client_of(create_app(gateway, routers()), await make_key(owner, "admin")) as client:
            yield client
    finally:
        await gateway.close()


async def test_a_search_by_vectors_an_agent_and_reindexing_over_http(client: httpx.AsyncClient, scene: Scene) -> None:
    await client.post("/v2/knowledge/-/files", files={"file": ("rules.md", b"Tea is served at four.")})
    await scene.index()  # by a worker without an embedder
    [tenant] = (await client.get("/v2/knowledge")).json()["items"]
    assert tenant == {"tenant_id": "-", "files": 1, "failed": 0, "outdated": 1}
    assert (await client.post("/v2/knowledge/-/search", json={"query": "tea", "mode": "vector"})).json()["items"] == []
    answer = await client.post("/v2/knowledge/-/reindex", json={})
    assert (answer.status_code, answer.json()) == (202, {"files": 1, "next": None})
    await scene.with_embedder("scripted:words").index()
    for mode in ("hybrid", "vector", "text"):
        found: dict[str, Any] = (await client.post("/v2/knowledge/-/search", json={"query": "tea", "mode": mode})).json()
        assert (found["mode"], found["reranked"], found["notice"], len(found["items"])) == (mode, False, None, 1)
    refused = await client.post("/v2/knowledge/-/search", json={"query": "tea", "rerank": True})
    assert (refused.status_code, refused.json()["code"]) == (422, "reranker-missing")
    assert (await client.post("/v2/agents", json=AGENT)).status_code == 201
    said = (await client.post("/v2/agents/helper/chat", json={"message": "When is tea?", "user_id": "ann"})).json()
    assert "Tea is served at four." in said["content"]
    used = (await client.get("/v2/usage?group_by=model,agent_id")).json()["items"]
    # The file and one query of the key's, which is remembered, and one of the agent's.
    calls = {(row["model"], row["agent_id"], row["calls"]) for row in used}
    assert calls == {("scripted:helper", "helper", 2), ("scripted:words", None, 2), ("scripted:words", "helper", 1)}
    assert all(row["cost"] == 0 for row in used)


@pytest.mark.parametrize(("named", "says"), [({"embedder": "opnai:x"}, "EMBEDDER"), ({"reranker": "opnai:x"}, "RERANKER")])
async def test_a_gateway_does_not_start_with_a_model_that_there_is_not(
    settings: Settings, dsn: str, named: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsInvalid, match=says):
        await Gateway.open(settings.model_copy(update={"knowledge": knowing(**named).knowledge}), dsn)
