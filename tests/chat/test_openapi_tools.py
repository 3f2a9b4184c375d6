"""OpenAPI tools and `http_fetch` in a chat: offered, called, asked about, and with the credential of the run's own user."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, names, unique
from tests.tools.openapi.api import OPERATIONS, FakeApi, answering, pets_at

TOKEN = "gho_0123456789abcdefghijABCDEFGHIJ456789"


@pytest.fixture
async def api() -> AsyncGenerator[FakeApi]:
    async with answering() as api:
        yield api


@pytest.fixture
async def pets(caller: Caller, api: FakeApi) -> str:
    body = {"id": unique("pets"), "name": "Pets", "document": pets_at(api.url), "operations": OPERATIONS}
    return (await caller.post("/v2/openapi-tools", body | {"headers": {"Authorization": "Bearer ${token:github}"}}))["id"]


async def asking(caller: Caller, tools: list[dict[str, Any]], *calls: tuple[str, dict[str, Any]], **config: Any) -> str:
    """An agent that makes these calls at once and then says that it is done."""
    made = [{"name": name, "args": args, "id": f"call_{number}"} for number, (name, args) in enumerate(calls)]
    script = {"turns": [{"tool_calls": made}, {"text": "Done."}]}
    return await caller.agent(model="scripted:play", script=script, tools=tools, **config)


def openapi(name: str, *operations: str) -> dict[str, Any]:
    return {"type": "openapi", "name": name} | ({"operations": list(operations)} if operations else {})


async def results(caller: Caller, run_id: str) -> list[dict[str, Any]]:
    return [event.data for event in await caller.replay(run_id) if event.name == "tool.completed"]


async def test_a_tool_is_called_for_the_runs_own_user_whose_credential_nobody_sees(
    scene: Scene, caller: Caller, api: FakeApi, pets: str
) -> None:
    ann, bob = unique("ann"), unique("bob")
    token = {"provider": "github", "token_type": "api_key", "token_data": {"api_key": TOKEN}}
    assert (await caller.http.put(f"/v2/users/{ann}/tokens/github", json=token)).is_success
    agent = await asking(caller, [openapi(pets)], (f"{pets}__getPet", {"petId": "7"}), (f"{pets}__addPet", {"body": {"name": "Rex"}}))
    api.answer({"you sent": f"Bearer {TOKEN}"})
    answer = await caller.chat(agent, "Look.", user_id=ann)
    assert answer["content"] == "Done."
    assert {asked.target for asked in api.asked} == {"/pets/7", "/pets"}
    assert {asked.header("authorization") for asked in api.asked} == {f"Bearer {TOKEN}"}
    told = await results(caller, answer["run_id"])
    assert [one["is_error"] for one in told] == [False, False]
    api.asked.clear()
    refused = await caller.chat(agent, "Look.", user_id=bob)
    assert all(f"{bob} has to connect github" in one["content"] for one in await results(caller, refused["run_id"]))
    assert not api.asked
    left = await scene.fetch("SELECT content::text AS text FROM messages UNION ALL SELECT data::text FROM run_events")
    assert not any(TOKEN in row["text"] for row in left)


async def test_a_call_that_asks_is_made_once_it_is_approved_with_what_was_shown(caller: Caller, api: FakeApi, pets: str) -> None:
    ann = unique("ann")
    token = {"provider": "github", "token_type": "api_key", "token_data": {"api_key": TOKEN}}
    await caller.http.put(f"/v2/users/{ann}/tokens/github", json=token)
    permissions = {"ask": [f"{pets}__addPet"], "deny": [f"{pets}__getPet(9)"]}
    calls = [(f"{pets}__addPet", {"body": {"name": "Rex"}}), (f"{pets}__getPet", {"petId": "9"}), (f"{pets}__listPets", {})]
    agent = await asking(caller, [openapi(pets)], *calls, worker_config={"permissions": permissions})
    paused = await caller.chat(agent, "Add one.", user_id=ann)
    assert paused["status"] == "paused"
    assert [asked.target for asked in api.asked] == ["/pets"]
    (approval,) = paused["approvals"]
    assert (approval["tool_name"], approval["tool_args"]) == (f"{pets}__addPet", {"body": {"name": "Rex"}})
    await caller.post(f"/v2/approvals/{approval['id']}/approve", {})
    assert (await caller.ended(paused["run_id"]))["status"] == "completed"
    assert [(asked.method, asked.target) for asked in api.asked] == [("GET", "/pets"), ("POST", "/pets")]


async def test_an_agent_is_offered_what_it_names_and_a_prompts_tools_join(caller: Caller, pets: str) -> None:
    prompt = unique("prompt")
    await caller.post("/v2/prompts", {"id": prompt, "name": "P", "template": "You help.", "tools": [openapi(pets, "listPets")]})
    script = {"turns": [{"tool_calls": [{"name": f"{pets}__addPet", "args": {}, "id": "c"}]}, {"text": "Done."}]}
    config = {"model": "scripted:play", "script": script}
    agent = (await caller.post("/v2/agents", {"id": unique("agent"), "name": "A", "prompt_service_id": prompt, "config": config}))["id"]
    answer = await caller.chat(agent, "Add.", user_id="ann")
    (told,) = await results(caller, answer["run_id"])
    assert f"Tools: {pets}__listPets, memory." in told["content"] or f"Tools: memory, {pets}__listPets." in told["content"]
    listed = {(tool["type"], tool["name"]) for tool in (await caller.get("/v2/tools"))["items"]}
    assert {("builtin", "http_fetch"), ("openapi", f"{pets}__listPets")} <= listed


async def test_what_is_not_there_is_refused_when_it_is_written_and_what_is_gone_when_it_is_used(caller: Caller, pets: str) -> None:
    config = {"model": "scripted:echo", "tools": [openapi(f"{pets}x"), openapi(pets, "getPets")]}
    refused = await caller.http.post("/v2/agents", json={"id": unique("agent"), "name": "A", "template": "x", "config": config})
    assert (refused.status_code, refused.json()["code"]) == (422, "openapi-tools-unknown")
    errors = {error["pointer"]: error["message"] for error in refused.json()["errors"]}
    assert f"Did you mean {pets}?" in errors["/config/tools/0/name"]
    assert "Did you mean getPet?" in errors["/config/tools/1/operations/0"]
    prompt = await caller.http.post("/v2/prompts", json={"id": unique("p"), "name": "P", "template": "x", "tools": [openapi("none")]})
    assert (prompt.status_code, prompt.json()["errors"][0]["pointer"]) == (422, "/tools/0/name")

    agent = await caller.agent(model="scripted:echo", tools=[openapi(pets)])
    await caller.http.delete(f"/v2/openapi-tools/{pets}")
    gone = await caller.try_chat(agent, "Hello")
    assert (gone.status_code, gone.json()["code"]) == (409, "openapi-tools-missing"), gone.text
    assert (await caller.patch(f"/v2/agents/{agent}", {"config": {"num_history_runs": 1}}))["id"] == agent
    assert (await caller.patch(f"/v2/agents/{agent}", {"config": {"tools": []}}))["id"] == agent
    assert (await caller.chat(agent, "Hello"))["content"] == "Hello"


async def test_a_page_is_fetched_and_an_internal_address_is_not(caller: Caller, api: FakeApi) -> None:
    api.answer(b"<h1>Hours</h1><p>Nine to five.<script>x</script>", Content_Type="text/html")
    tools = [{"type": "builtin", "name": "http_fetch"}]
    urls = [f"{api.url}/hours", f"http://127.0.0.1:{api.port}/hours", "http://169.254.169.254/latest"]
    agent = await asking(caller, tools, *(("http_fetch", {"url": url}) for url in urls))
    answer = await caller.chat(agent, "When?")
    told = {one["id"]: one for one in await results(caller, answer["run_id"])}
    assert json.loads(told["call_0"]["content"]) == {
        "status": 200, "url": urls[0], "media_type": "text/html", "truncated": False, "content": "Hours\n\nNine to five."
    }  # fmt: skip
    assert all(told[call]["is_error"] and "no public address" in told[call]["content"] for call in ("call_1", "call_2"))
    assert len(api.asked) == 1
    assert names(await caller.replay(answer["run_id"]))[-1] == "run.completed"
