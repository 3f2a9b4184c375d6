"""The routes without a key."""

from __future__ import annotations

import httpx
from tests.api.edge_scene import SmallGateway, client_of, make_app

from pointsman.kit.db import Database
from pointsman.kit.problems import Problem
from pointsman.settings import Settings


async def test_alive_and_ready(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/livez")).json() == {"status": "alive"}
    assert (await stranger.get("/readyz")).json() == {"status": "ready"}


async def test_a_draining_process_is_alive_and_not_ready(stranger: httpx.AsyncClient, gateway: SmallGateway) -> None:
    gateway.draining.set()
    assert (await stranger.get("/livez")).status_code == 200
    answer = await stranger.get("/readyz")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "not-ready", "1")


async def test_a_database_that_is_not_migrated_is_not_ready(settings: Settings, empty_dsn: str) -> None:
    db = await Database.connect(empty_dsn, pool_size=2, role=None)
    try:
        async with client_of(make_app(SmallGateway(settings, db))) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (503, "The database is not migrated.")
            assert (await client.get("/livez")).status_code == 200
    finally:
        await db.close()


async def test_metrics_count_by_template(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    await client.get("/v2/notes/my-secret-id")
    await stranger.get("/v2/my-secret-path")
    text = (await stranger.get("/metrics")).text
    assert 'pointsman_http_requests_total{method="GET",route="/v2/notes/{number}",status="2xx"} 1.0' in text
    assert 'route="none"' in text
    assert "my-secret" not in text


async def test_every_problem_has_a_page(stranger: httpx.AsyncClient) -> None:
    for code, problem in Problem.registry.items():
        answer = await stranger.get(f"/problems/{code}")
        assert answer.status_code == 200, code
        assert answer.text.startswith(f"# {problem.title}\n\n`{code}` · HTTP ")
        assert len(answer.text.split("\n\n", 2)[2]) > 20, f"{code} says nothing about itself"
    assert (await stranger.get("/problems/none-such")).status_code == 404


async def test_the_document_has_both_sorts_of_routes(stranger: httpx.AsyncClient) -> None:
    document = (await stranger.get("/openapi.json")).json()
    note = document["paths"]["/v2/notes"]["post"]
    assert note["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/NoteCreate"}
    assert note["description"].endswith("Scope: `prompts:write`.")
    say = document["paths"]["/v2/say"]["post"]
    assert say["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Said"}
    assert "text/event-stream" in say["responses"]["200"]["content"]
    assert {"Idempotency-Key", "X-Pointsman-Tenant"} <= {parameter["name"] for parameter in say["parameters"]}
    assert document["paths"]["/livez"]["get"]["security"] == []
    assert {"Said", "NoteCreate", "Problem"} <= set(document["components"]["schemas"])
    references = [part.split('"')[0] for part in (await stranger.get("/openapi.json")).text.split("#/components/schemas/")[1:]]
    assert set(references) <= set(document["components"]["schemas"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert {"400", "413", "503"} <= set(operation["responses"]), f"{method} {path}"
            assert ("401" in operation["responses"]) is bool(operation["security"])
    assert say["security"] == [{"bearer": ["agents:run"]}, {"header": ["agents:run"]}]
    assert document["components"]["responses"]["MethodNotAllowed"]["headers"]["Allow"]["required"]
