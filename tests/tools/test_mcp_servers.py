"""MCP servers as data: who may write them, and what somebody sees who gets it wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.e2e.calling import Caller, unique
from tests.tools.mcp_scene import McpScene, Server, approved, registered

URL = "http://127.0.0.1:8099/mcp"


@pytest.fixture
async def tenant(mcp_scene: McpScene, operator: Caller) -> AsyncGenerator[Caller]:
    made = await operator.post("/v2/keys", {"name": "t", "owner_id": unique("tenant"), "scopes": ["tools:read", "tools:write"]})
    tenant = Caller(mcp_scene.url, made["api_key"])
    yield tenant
    await tenant.aclose()


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"url": "ftp://example.com"}, "/url", "Only http and https"),
        ({"url": "https://example.com/mcp?api_key=abcdefghij"}, "/url", "in a header"),
        ({"url": "http://127.0.0.2/mcp"}, "/url", "no public address"),
        ({"headers": {"Authorization": "Bearer abcdefghij"}}, "/headers/Authorization", "named, not written"),
        ({"headers": {"Authorization": "Bearer ${secret:crn}"}}, "/headers/Authorization", "Did you mean crm?"),
        ({"headers": {"Host": "x"}}, "/headers/Host", "gateway sets"),
        ({"hedders": {}}, "/hedders", "Did you mean 'headers'?"),
        ({"type": "stdio"}, "/type", "'http'"),
        ({"timeouts": {"call_seconds": 600}}, "/timeouts/call_seconds", "less than or equal to 60"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(operator: Caller, fields: dict[str, Any], pointer: str, words: str) -> None:
    refused = await operator.http.post("/v2/mcp-servers", json={"id": unique("srv"), "url": URL, **fields})
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert (error["pointer"], words in error["message"]) == (pointer, True), error


async def test_only_an_operator_writes_servers(operator: Caller, tenant: Caller) -> None:
    server_id = await registered(operator, URL)
    assert (await tenant.get(f"/v2/mcp-servers/{server_id}"))["id"] == server_id
    body = {"id": unique("srv"), "url": URL}
    for refused in (
        await tenant.http.post("/v2/mcp-servers", json=body),
        await tenant.http.patch(f"/v2/mcp-servers/{server_id}", json={"url": URL}),
        await tenant.http.delete(f"/v2/mcp-servers/{server_id}"),
        await tenant.http.post(f"/v2/mcp-servers/{server_id}/inspect", json={}),
        await tenant.http.post(f"/v2/mcp-servers/{server_id}/approve", json={"sha256": "0" * 64}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "operator-only")


async def test_a_server_is_read_back_changed_and_audited(mcp_scene: McpScene, operator: Caller) -> None:
    server_id = await registered(operator, URL, description="CRM.", headers={"X-Team": "blue"}, timeouts={"call_seconds": 5})
    shown = await operator.get(f"/v2/mcp-servers/{server_id}")
    assert (shown["name"], shown["url"], shown["headers"]) == (server_id, URL, {"X-Team": "blue"})
    assert shown["timeouts"] == {"connect_seconds": 15.0, "call_seconds": 5.0}
    changed = await operator.patch(
        f"/v2/mcp-servers/{server_id}", {"name": "The CRM", "timeouts": {"connect_seconds": 3}, "description": None}
    )
    assert (changed["name"], changed["description"]) == ("The CRM", None)
    assert changed["timeouts"] == {"connect_seconds": 3.0, "call_seconds": 5.0}
    taken = await operator.http.post("/v2/mcp-servers", json={"id": server_id, "url": URL})
    assert (taken.status_code, taken.json()["code"]) == (409, "mcp-server-exists")
    assert await mcp_scene.audited(server_id) == ["mcp_server.created", "mcp_server.updated"]


async def test_servers_are_listed_page_by_page_with_those_of_the_settings_among_them(operator: Caller) -> None:
    made = {await registered(operator, URL) for _ in range(3)}
    seen: list[str] = []
    cursor = None
    while True:
        page = await operator.get("/v2/mcp-servers", limit=2, cursor=cursor)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(set(seen))
    assert made | {"broken", "files"} <= set(seen)


async def test_a_server_of_the_settings_is_changed_there_alone(operator: Caller) -> None:
    for refused in (
        await operator.http.patch("/v2/mcp-servers/files", json={"name": "x"}),
        await operator.http.delete("/v2/mcp-servers/files"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "mcp-server-fixed")
    taken = await operator.http.post("/v2/mcp-servers", json={"id": "files", "url": URL})
    assert (taken.status_code, taken.json()["code"]) == (409, "mcp-server-exists")


async def test_agents_and_prompts_name_servers_and_tools_that_are_there(operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url)
    config = {"model": "scripted:echo"}
    for tools, pointer, words in (
        ([{"type": "mcp", "name": server_id[:-1]}], "/tools/0/name", f"Did you mean {server_id}?"),
        ([{"type": "mcp", "name": server_id, "tools": ["add", "wether"]}], "/tools/0/tools/1", "Did you mean weather?"),
    ):
        agent = {"name": "n", "template": "t", "config": config | {"tools": tools}}
        prompt = {"id": unique("prompt"), "name": "n", "template": "t", "tools": tools}
        for path, body, place in (("/v2/agents", agent, f"/config{pointer}"), ("/v2/prompts", prompt, pointer)):
            refused = await operator.http.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "mcp-server-unknown"), refused.text
            (error,) = refused.json()["errors"]
            assert (error["pointer"], words in error["message"]) == (place, True), error
    good = [{"type": "mcp", "name": server_id, "tools": ["add"]}]
    made = await operator.agent(model="scripted:echo", tools=good)
    refused = await operator.http.patch(f"/v2/agents/{made}", json={"config": {"tools": [{"type": "mcp", "name": "nobody"}]}})
    assert refused.status_code == 422
    assert (await operator.http.delete(f"/v2/mcp-servers/{server_id}")).status_code == 204
    kept = await operator.patch(f"/v2/agents/{made}", {"description": "Still here."})
    assert kept["config"]["tools"] == good
