from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.prompts.catalogue_app import CALLER, at_once, client_of
from tests.tools.openapi.api import OPERATIONS, pets_at
from tests.tools.openapi.conftest import Scene
from tests.tools.openapi.pets import PETS

from pointsman.execution.errors import OperatorOnly
from pointsman.tools.openapi.errors import OpenApiToolsExist, OpenApiToolsUnknown
from pointsman.tools.openapi.routes import router
from pointsman.tools.openapi.schemas import OpenApiToolsCreate, OpenApiToolsPatch, OpenApiToolsRead
from pointsman.tools.openapi.service import OpenApiToolsService

TENANT = replace(CALLER, owner_id="acme", tenant="acme")


@pytest.fixture
async def client(scene: Scene) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(router, services={OpenApiToolsService: scene.service}) as client:
        yield client


async def test_a_document_is_registered_read_changed_and_deleted_and_nobody_is_asked(client: httpx.AsyncClient, scene: Scene) -> None:
    made = await client.post("/v2/openapi-tools", json=scene.body(headers={"X-Key": "${secret:pets_key}"}))
    assert (made.status_code, made.headers["location"]) == (201, "/v2/openapi-tools/pets")
    told = made.json()
    assert [tool["tool"] for tool in told["tools"]] == [f"pets__{name}" for name in OPERATIONS]
    assert told["tools"][1]["parameters"]["required"] == ["body"]
    assert (told["server_url"], told["headers"], told["timeout_seconds"]) == (scene.api.url, {"X-Key": "${secret:pets_key}"}, 30)
    assert (await client.get("/v2/openapi-tools/pets")).json() == told
    assert (await client.get("/v2/openapi-tools/pets/document")).json() == pets_at(scene.api.url)

    changed = await client.patch(
        "/v2/openapi-tools/pets", json={"document": PETS, "operations": ["getPet"], "headers": {"X-Key": None, "X-A": "b"}}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["server_url"], changed.json()["headers"]) == ("https://api.example.com/v1", {"X-A": "b"})
    assert changed.json()["sha256"] != told["sha256"]
    again = await client.patch("/v2/openapi-tools/pets", json={"document": PETS, "name": "Pets"})
    assert again.json()["updated_at"] == changed.json()["updated_at"]
    moved = await client.patch("/v2/openapi-tools/pets", json={"server_url": "https://other.example.com/"})
    assert moved.json()["server_url"] == "https://other.example.com"
    assert (await client.patch("/v2/openapi-tools/pets", json={"server_url": None})).json()["server_url"] == "https://api.example.com/v1"

    assert [item["id"] for item in (await client.get("/v2/openapi-tools")).json()["items"]] == ["pets"]
    for _ in range(2):
        assert (await client.delete("/v2/openapi-tools/pets")).status_code == 204
    assert (await client.get("/v2/openapi-tools/pets")).status_code == 404
    assert (await client.patch("/v2/openapi-tools/pets", json={"name": "x"})).status_code == 404
    assert (await client.get("/v2/openapi-tools")).json()["items"] == []
    assert (await client.get("/v2/openapi-tools", params={"include_inactive": True})).json()["items"][0]["is_active"] is False
    restored = await client.post("/v2/openapi-tools", json=scene.body())
    assert (restored.status_code, restored.json()["created_at"]) == (201, told["created_at"])
    assert not scene.api.asked
    actions = await scene.owner.fetch("SELECT action FROM audit_log WHERE object_type = 'openapi_tools' ORDER BY id")
    assert [row["action"].partition(".")[2] for row in actions] == ["created", "updated", "updated", "updated", "deleted", "restored"]


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"document": "openapi: 2"}, "openapi-document-refused", "/document/openapi"),
        ({"document": {}}, "openapi-document-refused", "/document/openapi"),
        ({"document": 7}, "invalid-request", "/document/"),
        ({"document": ""}, "invalid-request", "/document/"),
        ({"operations": []}, "invalid-request", "/operations"),
        ({"operations": ["getPet", "getPet"]}, "invalid-request", "/operations"),
        ({"operations": ["getPets"]}, "openapi-document-refused", "/operations/0"),
        ({"server_url": "http://127.0.0.1:9999"}, "egress-refused", "/server_url"),
        ({"server_url": "http://localhost"}, "egress-refused", "/server_url"),
        ({"server_url": "http://user:pw@public.test"}, "egress-refused", "/server_url"),
        ({"server_url": "file:///etc"}, "openapi-document-refused", "/server_url"),
        ({"headers": {"Host": "x"}}, "invalid-request", "/headers/Host"),
        ({"headers": {"X-A": "a\r\nb"}}, "invalid-request", "/headers/X-A"),
        ({"headers": {"Authorization": "Bearer abcdef0123456789"}}, "invalid-request", "/headers/Authorization"),
        ({"headers": {"X-A": "${secret:pets_kez}"}}, "invalid-request", "/headers/X-A"),
        ({"timeout_seconds": 61}, "invalid-request", "/timeout_seconds"),
        ({"id": "a/b"}, "invalid-request", "/id"),
        ({"operation": ["getPet"]}, "invalid-request", "/operation"),
    ],
)
async def test_what_is_wrong_is_told_where_it_stands_and_nothing_is_stored(
    client: httpx.AsyncClient, scene: Scene, changes: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await client.post("/v2/openapi-tools", json=scene.body(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert any(error["pointer"].startswith(pointer) for error in answer.json()["errors"]), answer.text
    assert not await scene.owner.fetchval("SELECT count(*) FROM openapi_tools")
    assert not scene.api.asked


async def test_of_two_who_register_at_once_one_does_and_two_changes_are_both_made(scene: Scene) -> None:
    def create() -> Any:
        return scene.register()

    outcomes = await at_once(create, create, create)
    assert sum(isinstance(outcome, OpenApiToolsExist) for outcome in outcomes) == 2

    def change(**patch: Any) -> Any:
        return lambda: scene.service.update_tools(CALLER, "pets", OpenApiToolsPatch.model_validate(patch))

    await at_once(change(headers={"X-A": "1"}), change(operations=["getPet"]), change(timeout_seconds=5), change(headers={"X-B": "2"}))
    now = await scene.service.require_tools("pets")
    assert (now.headers, now.operations, now.timeout_seconds) == ({"X-A": "1", "X-B": "2"}, ("getPet",), 5)
    assert [operation.operation for operation in now.compiled.operations] == ["getPet"]


async def test_a_tenants_key_uses_what_operators_register_and_sees_no_headers(scene: Scene) -> None:
    tools = await scene.register(headers={"X-Key": "${secret:pets_key}"})
    assert OpenApiToolsRead.of(tools, TENANT).headers == {}
    body = OpenApiToolsCreate.model_validate(scene.body("mine"))
    with pytest.raises(OperatorOnly):
        await scene.service.create_tools(TENANT, body)
    with pytest.raises(OperatorOnly):
        await scene.service.update_tools(TENANT, "pets", OpenApiToolsPatch(name="x"))
    with pytest.raises(OperatorOnly):
        await scene.service.delete_tools(TENANT, "pets")


async def test_what_agents_name_has_to_be_there(scene: Scene) -> None:
    await scene.register(operations=["getPet", "listPets"])

    async def errors(*references: dict[str, Any]) -> list[tuple[str, str]]:
        placed = {f"/config/tools/{index}": {"type": "openapi", **reference} for index, reference in enumerate(references)}
        async with scene.db.transaction() as connection:
            try:
                await scene.source.require(connection, placed)
            except OpenApiToolsUnknown as problem:
                return [(error.pointer, error.message.rpartition(".")[2].strip() or error.message) for error in problem.errors]
        return []

    assert await errors({"name": "pets"}, {"name": "pets", "operations": ["getPet"]}) == []
    assert await errors({"name": "pet"}, {"name": "pets", "operations": ["getPet", "getPets"]}) == [
        ("/config/tools/0/name", "Did you mean pets?"),
        ("/config/tools/1/operations/1", "Did you mean getPet?"),
    ]
    assert [tool.spec.name for tool in await scene.source.list_tools()] == ["pets__getPet", "pets__listPets"]
