"""What a request may override, and that each override is seen by the upstream or in the run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import both_ways, each_wire, take_turn
from tests.e2e.calling import Caller, names, unique

SETTINGS: dict[str, tuple[Any, str]] = {
    "temperature": (0.375, "0.375"),
    "max_tokens": (4321, "4321"),
    "top_p": (0.625, "0.625"),
    "top_k": (37, "37"),
    "stop_sequences": (["zq-stop"], "zq-stop"),
    "seed": (987654, "987654"),
    "presence_penalty": (0.1875, "0.1875"),
    "frequency_penalty": (0.8125, "0.8125"),
    "parallel_tool_calls": (False, "parallel"),
    "tool_choice": ("none", "none"),
}


@each_wire
@pytest.mark.parametrize("setting", SETTINGS)
async def test_each_model_setting_reaches_the_upstream_or_is_refused(scene: Scene, caller: Caller, model: str, setting: str) -> None:
    word = unique("setting")
    value, sent = SETTINGS[setting]
    agent = await caller.agent(model=model, tools=[{"type": "builtin", "name": "current_time"}])
    response = await caller.try_chat(agent, word, model_settings={setting: value})
    if response.status_code == 422:
        assert response.json()["code"] == "model-setting-unsupported"
        assert setting in response.json()["detail"]
        assert not scene.asked(word)
        return
    assert response.status_code == 200, response.text
    (asked,) = scene.asked(word)
    assert sent in json.dumps(asked["body"]).replace(word, "").lower()
    run = await caller.get(f"/v2/runs/{response.json()['run_id']}")
    assert run["request"]["model_settings"] == {setting: value}


@each_wire
async def test_a_requests_settings_go_on_top_of_the_agents(scene: Scene, caller: Caller, model: str) -> None:
    word = unique("merged")
    agent = await caller.agent(model=model, model_settings={"temperature": 0.375, "max_tokens": 4321})
    await caller.chat(agent, word, model_settings={"temperature": 0.4375})
    sent = json.dumps(scene.asked(word)[0]["body"])
    assert "0.4375" in sent
    assert "4321" in sent
    assert "0.375" not in sent
    await caller.chat(agent, f"{word} again")
    assert "0.375" in json.dumps(scene.asked(f"{word} again")[0]["body"])


async def test_a_setting_that_nobody_knows_or_out_of_range_is_refused_by_name(caller: Caller) -> None:
    agent = await caller.agent()
    for settings, pointer in (({"temprature": 1}, "/model_settings/temprature"), ({"temperature": 3}, "/model_settings/temperature")):
        response = await caller.try_chat(agent, "hi", model_settings=settings)
        assert response.status_code == 422
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


@each_wire
@both_ways
async def test_variables_fill_the_prompt_and_nothing_else(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("variables")
    agent = await caller.agent(model=model, template="Talk like a {role} on {day}. Keep {braces} and {{these}}.")
    variables = {"role": "{day} pirate", "day": 7, "braces": "them", "these": "{role}"}
    turn = await take_turn(caller, agent, word, streamed=streamed, variables=variables)
    sent = json.dumps(scene.asked(word)[0]["body"])
    assert "Talk like a {day} pirate on 7. Keep them and {{role}}." in sent
    assert (await caller.get(f"/v2/runs/{turn.run_id}"))["request"]["variables"] == variables


async def test_a_missing_variable_is_named_before_a_run_exists(caller: Caller) -> None:
    agent = await caller.agent(template="You are {role}.")
    response = await caller.try_chat(agent, "hi", variables={"rôle": "x", "rol": "y"})
    assert response.status_code == 422
    problem = response.json()
    assert (problem["code"], problem["missing"], sorted(problem["unused"])) == ("prompt-variables-missing", ["role"], ["rol", "rôle"])
    assert not (await caller.get("/v2/runs", subject=agent))["items"]


@both_ways
async def test_another_model_of_another_provider_can_be_asked_for(scene: Scene, caller: Caller, streamed: bool) -> None:
    word = unique("model")
    agent = await caller.agent(model="openai:gpt-4o")
    turn = await take_turn(caller, agent, word, streamed=streamed, model="anthropic:claude-haiku-4-5")
    (asked,) = scene.asked(word)
    assert (asked["wire"], asked["body"]["model"], turn.answer["model"]) == ("anthropic", "claude-haiku-4-5", "anthropic:claude-haiku-4-5")
    (row,) = await scene.fetch(
        "SELECT t.model FROM token_usage t JOIN usage_details d ON d.usage_id = t.id WHERE d.run_id = $1", turn.run_id
    )
    assert row["model"] == "anthropic:claude-haiku-4-5"
    for model, code in (("nonsense", "model-unknown"), ("openia:gpt-4o", "model-unknown"), ("scripted:script", "model-script-invalid")):
        response = await caller.try_chat(agent, "hi", model=model)
        assert (response.status_code, response.json()["code"]) == (422, code)


@both_ways
async def test_who_and_what_a_turn_was_for_is_kept_with_the_run_and_the_usage(caller: Caller, streamed: bool) -> None:
    agent, session, user = await caller.agent(), unique("session"), unique("user")
    metadata = {"ticket": 7, "tags": ["a", {"deep": None}], "text": 'ü "quoted" \\ \u2028'}
    turn = await take_turn(caller, agent, "hi", streamed=streamed, session_id=session, user_id=user, metadata=metadata)
    assert turn.answer["session_id"] == session
    run = await caller.get(f"/v2/runs/{turn.run_id}")
    assert (run["kind"], run["subject"], run["session_id"], run["user_id"]) == ("chat", agent, session, user)
    assert run["request"]["metadata"] == metadata
    assert run["key_id"] == (await caller.get("/v2/whoami"))["id"]
    for query in ({"user_id": user}, {"session_id": session}, {"agent_id": agent}):
        total = (await caller.get("/v2/usage", **query))["total"]
        assert (total["calls"], total["total_tokens"]) == (1, turn.answer["usage"]["total_tokens"])


async def test_the_verbosity_of_the_request_is_that_of_its_stream_and_of_its_replays(caller: Caller) -> None:
    agent = await caller.agent(model="vllm:llama")
    seen: dict[str, list[tuple[int, str]]] = {}
    for verbosity in ("full", "events", "result"):
        async with caller.stream(agent, "[[n=3 itl=3 think=2]]", stream_verbosity=verbosity) as reader:
            streamed = await reader.rest()
        assert await caller.replay(reader.run_id) == streamed
        assert (await caller.get(f"/v2/runs/{reader.run_id}"))["request"].get("stream_verbosity", "events") == verbosity
        full = await caller.replay(reader.run_id, verbosity="full")
        assert [event.id for event in full] == list(range(1, len(full) + 1))
        assert [event for event in full if event in streamed] == streamed
        seen[verbosity] = [(event.id, event.name) for event in streamed]
    assert "reasoning.delta" in {name for _, name in seen["full"]}
    assert {name for _, name in seen["events"]} == {name for _, name in seen["full"]} - {"reasoning.delta"}
    assert [name for _, name in seen["result"]] == ["run.started", "run.completed"]


async def test_an_accept_header_asks_for_a_stream_too(caller: Caller) -> None:
    agent = await caller.agent()
    response = await caller.try_chat(agent, "hi [[n=2]]", headers={"accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.count("event: run.completed") == 1


async def test_what_is_wrong_with_a_body_is_said_by_pointer(caller: Caller) -> None:
    agent = await caller.agent()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"message": ""}, "/message"),
        ({"message": "hi", "sesion_id": "x"}, "/sesion_id"),
        ({"message": "hi", "session_id": "a/b"}, "/session_id"),
        ({"message": "hi", "stream_verbosity": "loud"}, "/stream_verbosity"),
        ({"message": "hi", "attachments": [{"media_type": "image/png"}]}, "/attachments/0"),
        ({"message": "hi", "attachments": [{"media_type": "image/png", "data": "no base64!"}]}, "/attachments/0"),
        ({"message": "hi", "variables": {"a": {"b": 1}}}, "/variables/a"),
        ({"message": "hi", "metadata": [1]}, "/metadata"),
    ]
    for body, pointer in wrong:
        response = await caller.http.post(f"/v2/agents/{agent}/chat", json=body)
        assert response.status_code == 422, (body, response.text)
        assert any(error["pointer"].startswith(pointer) for error in response.json()["errors"]), (body, response.text)
    assert (await caller.try_chat("nobody", "hi")).status_code == 404


THINKERS = {
    "openai": ("openai:gpt-5", "reasoning_effort", {2: "low", 5: "medium", 20: "high"}),
    "openai-responses": ("openai-responses:gpt-5", "effort", {2: "low", 5: "medium", 20: "high"}),
    "anthropic": ("anthropic:claude-sonnet-4-5", "thinking", {2: "", 5: "", 20: ""}),
    "google": ("google:gemini-2.5-flash", "thinking", {2: "", 5: "", 20: ""}),
}


@pytest.mark.parametrize(("model", "field", "efforts"), THINKERS.values(), ids=THINKERS)
async def test_reasoning_sets_the_providers_own_effort(
    scene: Scene, caller: Caller, model: str, field: str, efforts: dict[int, str]
) -> None:
    sent: list[str] = []
    for most, effort in efforts.items():
        word = unique("reasons")
        agent = await caller.agent(model=model, enable_reasoning=True, reasoning_max_steps=most)
        turn = await take_turn(caller, agent, f"{word} [[n=2 think=3]]", streamed=True, stream_verbosity="full")
        (asked,) = scene.asked(word)
        body = json.dumps(asked["body"])
        assert field in body.lower()
        assert effort in body
        assert "think" not in [tool.get("name") for tool in asked["body"].get("tools", [])]
        assert turn.answer["content"] == "tok0 tok1 "
        assert asked["usage"]["reasoning_tokens"] == 3
        assert (await scene.usage_of(turn.run_id)) == [{**asked["usage"], "is_estimated": False}]
        if not model.startswith("openai:"):
            assert "reasoning.delta" in names(turn.events)
        sent.append(body.replace(word, ""))
    assert len(set(sent)) == len(efforts), "the effort does not follow reasoning_max_steps"
    plain = await caller.agent(model=model)
    word = unique("plain")
    await caller.chat(plain, word)
    assert scene.asked(word)[0]["body"] != sent[0]


@both_ways
async def test_a_model_without_reasoning_thinks_with_a_tool_at_least_and_at_most_so_often(
    scene: Scene, caller: Caller, streamed: bool
) -> None:
    word = unique("thinks")
    agent = await caller.agent(model="vllm:llama", enable_reasoning=True, reasoning_min_steps=2, reasoning_max_steps=3)
    think = '[[tool=think;args={"thought":"step by step"}]]'
    message = f"{word} [[n=2]] {think} [[rounds=3]]"
    turn = await take_turn(caller, agent, message, streamed=streamed, **({"stream_verbosity": "full"} if streamed else {}))
    asked = scene.asked(word)
    offered = [[tool["function"]["name"] for tool in entry["body"].get("tools", [])] for entry in asked]
    assert offered == [["think"], ["think"], ["think"], []], "offered until the most steps are taken"
    assert [entry["body"].get("tool_choice") for entry in asked] == ["required", "required", "auto", None], (
        "forced as often as it must think"
    )
    assert turn.answer["content"] == "tok0 tok1 "
    assert len(await scene.usage_of(turn.run_id)) == 4
    messages = (await caller.get(f"/v2/sessions/{turn.answer['session_id']}/messages"))["items"]
    assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * 3, "assistant"]
    if streamed:
        assert [event.data["text"] for event in turn.events if event.name == "reasoning.delta"] == ["step by step"] * 3
        assert not {"tool.called", "tool.completed"} & set(names(turn.events))


async def test_a_model_that_answers_without_having_thought_is_told_to_and_fails_in_the_end(scene: Scene, caller: Caller) -> None:
    word = unique("thoughtless")
    agent = await caller.agent(model="vllm:llama", enable_reasoning=True, reasoning_min_steps=2, reasoning_max_steps=3)
    response = await caller.try_chat(agent, f"{word} [[n=2]]")
    assert (response.status_code, response.json()["code"]) == (502, "model-too-many-steps")
    asked = [entry for entry in scene.upstream.ledger() if word in json.dumps(entry["body"])]
    assert "Do not answer yet" in json.dumps(asked[-1]["body"])
    assert await scene.usage_of(response.json()["run_id"]) == [{**entry["usage"], "is_estimated": False} for entry in asked]
