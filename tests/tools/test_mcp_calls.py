"""Tools of MCP servers in chats, over HTTP as it is and as it was, and from a program in a sandbox."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.e2e.calling import Caller, unique
from tests.tools.conftest import OF_THE_PROGRAM, SECRET, Servers
from tests.tools.mcp_scene import McpScene, Server, agent_with, approve, approved, call, registered, said

EVERYTHING = ["add", "ask", "die", "fail", "grow", "headers", "look", "much", "picture", "slow", "slow_look", "weather"]


@pytest.mark.parametrize("kind", ["http", "legacy", "stdio"])
async def test_tools_are_looked_at_approved_and_called(kind: str, operator: Caller, servers: Servers, usual_server: Server) -> None:
    server = {"http": usual_server, "stdio": None}[kind] if kind != "legacy" else servers.start(kind)
    before = 0 if server is None else len(server.done)
    server_id = "files" if server is None else await registered(operator, server.url)
    if server is not None:
        assert (await operator.get(f"/v2/mcp-servers/{server_id}"))["state"] == "new"
    seen = await operator.post(f"/v2/mcp-servers/{server_id}/inspect", {})
    assert (seen["state"], seen["tools"], seen["sha256"]) == ("proposed", [], None)
    assert seen["proposal"]["diff"] == {"added": EVERYTHING, "removed": [], "changed": []}
    agent = await agent_with(operator, server_id, [call(server_id, "add", a=1, b=2)])
    early = await operator.chat(agent, "Please.")
    assert "There is no tool" in await _last(operator, early)

    done = await operator.post(f"/v2/mcp-servers/{server_id}/approve", {"sha256": seen["proposal"]["sha256"]})
    assert (done["state"], done["proposal"], [tool["name"] for tool in done["tools"]]) == ("approved", None, EVERYTHING)
    assert [tool["name"] for tool in done["tools"] if tool["read_only"]] == ["slow_look", "weather"]
    listed = [tool for tool in (await operator.get("/v2/tools"))["items"] if tool["source"] == server_id]
    assert [(tool["type"], tool["tool"]) for tool in listed] == [("mcp", name) for name in EVERYTHING]
    assert listed[0]["name"] == f"{server_id}__add"

    added, weather, failed, picture, unfit = await said(
        operator,
        server_id,
        call(server_id, "add", a=1, b=2),
        call(server_id, "weather", city="Bonn"),
        call(server_id, "fail", why="no wind"),
        call(server_id, "picture"),
        call(server_id, "add", a="one"),
    )
    assert (added["content"], added["is_error"]) == ('{"result": 3}', False)
    assert json.loads(weather["content"]) == {"city": "Bonn", "celsius": 21}
    assert (failed["is_error"], "no wind" in failed["content"]) == (True, True)
    assert (picture["content"], picture["is_error"]) == ("[image image/png, 104 bytes: not shown]", False)
    assert (unfit["is_error"], "validation error" in unfit["content"]) == (True, True)
    if server is not None:
        assert server.since(before) == ["add 1 2", "weather Bonn"]


async def _last(caller: Caller, answer: dict[str, Any]) -> str:
    events = await caller.replay(answer["run_id"])
    return [event.data["content"] for event in events if event.name == "tool.completed"][-1]


async def test_an_agent_is_offered_the_tools_that_it_lists(operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url)
    script = {"turns": [{"text": "{tools}"}]}
    listed = [{"type": "mcp", "name": server_id, "tools": ["weather", "add"]}]
    agent = await operator.agent(model="scripted:play", script=script, tools=listed, enable_memory=False)
    assert (await operator.chat(agent, "What can you do?"))["content"] == f"{server_id}__add, {server_id}__weather"
    assert (await operator.get(f"/v2/agents/{agent}"))["config"]["tools"] == listed


async def test_registering_and_listing_connects_to_nothing(operator: Caller) -> None:
    reached: list[str] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("connected")
        writer.close()

    listener = await asyncio.start_server(note, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/mcp"
    server_id = await registered(operator, url)
    await operator.patch(f"/v2/mcp-servers/{server_id}", {"description": "Nobody."})
    await operator.get(f"/v2/mcp-servers/{server_id}")
    assert {"files", "broken", server_id} <= {item["id"] for item in (await operator.get("/v2/mcp-servers", limit=200))["items"]}
    await operator.get("/v2/tools")
    await agent_with(operator, server_id)
    await agent_with(operator, "broken")
    assert reached == []
    refused = await operator.http.post(f"/v2/mcp-servers/{server_id}/inspect", json={})
    assert (refused.status_code, refused.json()["code"], bool(reached)) == (502, "mcp-server-failed", True)
    assert (await operator.get(f"/v2/mcp-servers/{server_id}"))["state"] == "new"
    listener.close()
    await listener.wait_closed()


async def test_a_call_that_takes_too_long_is_given_up_and_the_server_hears_so(operator: Caller, usual_server: Server) -> None:
    before = len(usual_server.done)
    server_id = await approved(operator, usual_server.url, timeouts={"call_seconds": 0.5})
    late, quick = await said(operator, server_id, call(server_id, "slow", seconds=30), call(server_id, "add", a=1, b=1))
    assert late["is_error"]
    assert late["content"] == f"The server {server_id} did not answer within 0.5 s. What it was asked may or may not have been done."
    assert quick["content"] == '{"result": 2}'
    assert usual_server.since(before) == ["slow began", "slow was cancelled", "add 1 1"]


async def test_what_is_large_is_cut_off_and_said_to_be(operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url)
    cut, far_too_large = await said(operator, server_id, call(server_id, "much", count=5000), call(server_id, "much", count=200_000))
    assert (len(cut["content"]) < 1100, cut["is_error"]) == (True, False)
    assert cut["content"].endswith("more bytes]")
    assert far_too_large["is_error"]
    assert "larger than 100000 bytes" in far_too_large["content"]


async def test_a_server_that_asks_the_user_is_told_no(operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url)
    asked, added = await said(operator, server_id, call(server_id, "ask"), call(server_id, "add", a=1, b=2))
    assert (asked["is_error"], added["content"]) == (True, '{"result": 3}')


async def test_headers_name_secrets_which_nobody_is_shown(mcp_scene: McpScene, operator: Caller, usual_server: Server) -> None:
    server_id = await approved(operator, usual_server.url, headers={"Authorization": "Bearer ${secret:crm}"})
    (told,) = await said(operator, server_id, call(server_id, "headers"))
    assert f"headers Bearer {SECRET}" in usual_server.done
    assert told["content"] == '{"result": "You sent Bearer ***."}'
    assert SECRET not in json.dumps(await operator.get(f"/v2/mcp-servers/{server_id}"))
    for table in ("messages", "run_events", "mcp_servers", "audit_log"):
        (row,) = await mcp_scene.fetch(f"SELECT count(*) AS n FROM {table} t WHERE t::text LIKE '%' || $1 || '%'", SECRET)
        assert row["n"] == 0, table


async def test_each_user_is_known_to_the_server_by_their_own_credential(operator: Caller, usual_server: Server) -> None:
    key = unique("crm")
    for user in ("ann", "bob"):
        body = {"provider": "crm", "token_type": "api_key", "token_data": {"api_key": f"key-of-{user}-0123456789"}}
        stored = await operator.http.put(f"/v2/users/{user}/tokens/{key}", json=body)
        assert stored.status_code in {200, 201}, stored.text
    server_id = await registered(operator, usual_server.url, headers={"Authorization": f"Bearer ${{token:{key}}}"})
    nobody = await operator.http.post(f"/v2/mcp-servers/{server_id}/inspect", json={})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "run-without-user")
    await approve(operator, server_id, user_id="ann")
    for user in ("bob", "ann", "bob"):
        (told,) = await said(operator, server_id, call(server_id, "headers"), user_id=user)
        assert told["content"] == '{"result": "You sent Bearer ***."}'
        assert usual_server.done[-1] == f"headers Bearer key-of-{user}-0123456789"
    (stranger,) = await said(operator, server_id, call(server_id, "headers"), user_id="eve")
    assert (stranger["is_error"], "has to connect" in stranger["content"]) == (True, True)


async def test_a_call_that_a_rule_asks_about_waits_and_is_made_once_when_approved(operator: Caller, usual_server: Server) -> None:
    before = len(usual_server.done)
    server_id = await approved(operator, usual_server.url)
    rules = {"permissions": {"ask": [f"{server_id}__add(1 *)"], "deny": [f"{server_id}__weather"]}}
    agent = await agent_with(
        operator,
        server_id,
        [call(server_id, "add", "c1", a=1, b=2), call(server_id, "weather", "c2", city="Bonn"), call(server_id, "add", "c3", a=5, b=5)],
        worker_config=rules,
    )
    answer = await operator.chat(agent, "Please.")
    assert answer["status"] == "paused"
    (asked,) = answer["approvals"]
    assert (asked["tool_name"], asked["tool_args"]) == (f"{server_id}__add", {"a": 1, "b": 2})
    assert usual_server.since(before) == ["add 5 5"]
    await operator.post(f"/v2/approvals/{asked['id']}/approve", {})
    ended = await operator.ended(answer["run_id"])
    assert (ended["status"], ended["content"]) == ("completed", "Done.")
    assert usual_server.since(before) == ["add 5 5", "add 1 2"]


async def test_a_program_sees_nothing_of_the_host_and_is_ended_when_idle(
    mcp_scene: McpScene, operator: Caller, usual_server: Server
) -> None:
    await approve(operator, "files")
    shadow, admin = await said(
        operator,
        "files",
        call("files", "look", path="/etc/shadow", port=usual_server.port),
        call("files", "look", path=str(mcp_scene.sandboxes.parent.parent / "admin-key"), port=usual_server.port),
    )
    for told in (shadow, admin):
        seen = json.loads(told["content"])
        assert seen["file"].startswith("no file")
        assert seen["network"].startswith("no network")
        assert set(seen["environment"]) == {"API_KEY", "HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED"}
    shown = await operator.get("/v2/mcp-servers/files")
    assert (shown["type"], OF_THE_PROGRAM in json.dumps(shown)) == ("stdio", False)
    async with asyncio.timeout(20):
        while any(mcp_scene.sandboxes.glob("pm-mcp-*")):
            await asyncio.sleep(0.1)


async def test_a_program_that_ends_is_started_again_at_the_next_call(operator: Caller) -> None:
    await approve(operator, "files")
    died, added = await said(operator, "files", call("files", "die"), call("files", "add", a=2, b=2))
    assert died["is_error"]
    assert "may or may not have been done" in died["content"]
    assert added["content"] == '{"result": 4}'


async def test_a_program_that_cannot_be_run_is_a_problem_that_says_why(operator: Caller) -> None:
    refused = await operator.http.post("/v2/mcp-servers/broken/inspect", json={})
    assert (refused.status_code, refused.json()["code"]) == (502, "mcp-server-failed")
    assert "/no/such/program cannot be run" in refused.text


async def test_a_redirect_leads_nowhere_else(operator: Caller) -> None:
    reached: list[str] = []

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("connected")
        writer.close()

    inside = await asyncio.start_server(note, "127.0.0.2", 0)
    elsewhere = f"http://127.0.0.2:{inside.sockets[0].getsockname()[1]}/mcp"

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    outside = await asyncio.start_server(redirect, "127.0.0.1", 0)
    server_id = await registered(operator, f"http://127.0.0.1:{outside.sockets[0].getsockname()[1]}/mcp")
    refused = await operator.http.post(f"/v2/mcp-servers/{server_id}/inspect", json={})
    assert (refused.status_code, refused.json()["code"]) == (502, "mcp-server-failed")
    assert reached == []
    for listener in (inside, outside):
        listener.close()
        await listener.wait_closed()
