"""A change asks again: what a server offers is held against what was approved before each call that it matters to."""

from __future__ import annotations

import httpx
from tests.e2e.calling import Caller
from tests.tools.conftest import Servers
from tests.tools.mcp_scene import McpScene, Server, agent_with, approved, call, said
from tests.tools.mcp_server import OTHER, USUAL


async def test_a_tool_that_changed_since_its_approval_is_not_called_until_it_is_approved_again(
    mcp_scene: McpScene, operator: Caller, servers: Servers
) -> None:
    server = servers.start()
    server_id = await approved(operator, server.url)
    server.kill()
    (away,) = await said(operator, server_id, call(server_id, "add", a=1, b=2))
    assert (away["is_error"], "could not be connected to" in away["content"]) == (True, True)
    changed = servers.start("changed", port=server.port)
    refused, weather = await said(operator, server_id, call(server_id, "add", a=1, b=2), call(server_id, "weather", city="Bonn"))
    assert refused["is_error"]
    assert "An operator has to look at the server" in refused["content"]
    assert not weather["is_error"]
    assert changed.done == ["weather Bonn"]
    shown = await operator.get(f"/v2/mcp-servers/{server_id}")
    assert (shown["state"], shown["proposal"]["diff"]) == ("changed", {"added": [], "removed": [], "changed": ["add"]})
    assert [tool["description"] for tool in shown["tools"] if tool["name"] == "add"] == [USUAL]
    assert [tool["description"] for tool in shown["proposal"]["tools"] if tool["name"] == "add"] == [OTHER]
    await said(operator, server_id, call(server_id, "add", a=1, b=2))
    assert await mcp_scene.audited(server_id) == [
        "mcp_server.created",
        "mcp_server.inspected",
        "mcp_server.approved",
        "mcp_server.changed",
    ]
    moved = await operator.http.post(f"/v2/mcp-servers/{server_id}/approve", json={"sha256": "0" * 64})
    assert (moved.status_code, moved.json()["code"]) == (409, "mcp-proposal-moved")
    again = await operator.post(f"/v2/mcp-servers/{server_id}/approve", {"sha256": shown["proposal"]["sha256"]})
    assert (again["state"], again["proposal"]) == ("approved", None)
    (added,) = await said(operator, server_id, call(server_id, "add", a=1, b=2))
    assert added["content"] == '{"result": 3}'


async def test_a_server_that_says_that_it_changed_is_looked_at_before_the_next_call(operator: Caller, servers: Servers) -> None:
    for flavour in ("", "legacy"):
        server = servers.start(flavour)
        server_id = await approved(operator, server.url)
        before, _, after = await said(
            operator, server_id, call(server_id, "add", a=1, b=1), call(server_id, "grow"), call(server_id, "add", a=2, b=2)
        )
        assert (before["is_error"], after["is_error"]) == (False, True), flavour
        assert server.done == ["add 1 1"]


async def test_a_server_that_is_as_approved_again_needs_no_approval(mcp_scene: McpScene, operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url)
    usual_server.describe("changed")
    assert (await operator.post(f"/v2/mcp-servers/{server_id}/inspect", {}))["state"] == "changed"
    usual_server.describe("usual")
    assert (await operator.post(f"/v2/mcp-servers/{server_id}/inspect", {}))["state"] == "approved"
    nothing = await operator.http.post(f"/v2/mcp-servers/{server_id}/approve", json={"sha256": "0" * 64})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "mcp-nothing-proposed")
    assert (await mcp_scene.audited(server_id))[-2:] == ["mcp_server.changed", "mcp_server.as_approved_again"]


async def test_a_deleted_server_can_be_listed_by_nobody_and_comes_back_with_nothing_approved(
    operator: Caller, usual_server: Server
) -> None:
    server_id = await approved(operator, usual_server.url)
    agent = await agent_with(operator, server_id, [call(server_id, "add", a=7, b=7)])
    for _ in range(2):
        assert (await operator.http.delete(f"/v2/mcp-servers/{server_id}")).status_code == 204
    gone: httpx.Response = await operator.http.get(f"/v2/mcp-servers/{server_id}")
    assert (gone.status_code, gone.json()["code"]) == (404, "mcp-server-not-found")
    refused = await operator.http.post(
        "/v2/agents",
        json={"name": "n", "template": "t", "config": {"model": "scripted:echo", "tools": [{"type": "mcp", "name": server_id}]}},
    )
    assert refused.json()["code"] == "mcp-server-unknown"
    answer = await operator.chat(agent, "Please.")
    (told,) = [event.data for event in await operator.replay(answer["run_id"]) if event.name == "tool.completed"]
    assert (told["content"], told["is_error"]) == (f"The call was not made: the MCP server {server_id} was deleted.", True)
    assert "add 7 7" not in usual_server.done
    again = await operator.post("/v2/mcp-servers", {"id": server_id, "url": usual_server.url})
    assert (again["state"], again["tools"], again["is_active"]) == ("new", [], True)
