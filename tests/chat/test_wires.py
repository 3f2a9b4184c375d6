"""A turn through each provider's wire format, as JSON and streamed: what the caller gets, what the upstream saw, what was counted."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import both_ways, each_wire, take_turn
from tests.e2e.calling import Caller, names, text_of, unique

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture"
PDF = b"%PDF-1.7 a page"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "minLength": 3}, "rank": {"type": "integer"}},
    "required": ["city", "rank"],
    "additionalProperties": False,
}


async def assert_counted(scene: Scene, run_id: str, word: str, calls: int) -> list[dict[str, Any]]:
    """One row a model call, equal to what the upstream reported; the ledger's lines."""
    asked = [entry for entry in scene.upstream.ledger() if word in json.dumps(entry["body"])]
    assert len(asked) == calls
    assert await scene.usage_of(run_id) == [{**entry["usage"], "is_estimated": False} for entry in asked]
    return asked


@each_wire
@both_ways
async def test_a_plain_turn_is_answered_recorded_and_counted_to_the_token(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("plain")
    # A small `max_tokens` keeps Anthropic's library from streaming by itself.
    agent = await caller.agent(model=model, template="Be brief.", model_settings={"max_tokens": 2000})
    cache_write = 0 if model.startswith("google") else 8  # a count that Google's API does not have
    message = f"{word} [[n=4 cached=64 cache_write={cache_write} reasoning=7]]"
    turn = await take_turn(caller, agent, message, streamed=streamed)

    (asked,) = await assert_counted(scene, turn.run_id, word, 1)
    assert asked["stream"] is streamed
    assert asked["usage"]["cached_tokens"] == 64
    assert asked["usage"]["reasoning_tokens"] == 7
    answer = turn.answer
    assert answer["content"] == "tok0 tok1 tok2 tok3 "
    assert (answer["status"], answer["model"], answer["agent_id"], answer["approvals"]) == ("completed", model, agent, [])
    usage = answer["usage"]
    assert usage["prompt_tokens"] == asked["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] == asked["usage"]["completion_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["is_estimated"] is False
    assert (usage["cost"] is None) is model.startswith("vllm")
    run = await caller.get(f"/v2/runs/{turn.run_id}")
    assert (run["status"], run["content"], run["usage"]) == ("completed", answer["content"], usage)


@each_wire
async def test_a_stream_tells_the_turn_in_order_and_ends_with_the_json_answer(caller: Caller, model: str) -> None:
    agent = await caller.agent(model=model)
    turn = await take_turn(caller, agent, f"{unique('order')} [[n=5 itl=5]]", streamed=True)
    kinds = names(turn.events)
    assert kinds[0] == "run.started"
    assert kinds[-3:] == ["message.completed", "usage.recorded", "run.completed"]
    assert set(kinds[1:-3]) == {"message.delta"}
    assert len(kinds) >= 7
    assert [event.id for event in turn.events] == list(range(1, len(kinds) + 1))
    assert text_of(turn.events) == turn.answer["content"] == "tok0 tok1 tok2 tok3 tok4 "
    for event in turn.events:
        assert event.data["run_id"] == turn.run_id
        assert event.data["seq"] == event.id
        assert event.data["at"].endswith("Z")


@each_wire
@both_ways
async def test_a_tool_is_called_and_the_model_answers_with_its_result(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("tool")
    agent = await caller.agent(model=model, tools=[{"type": "builtin", "name": "current_time"}])
    message = f'{word} [[n=3]] [[tool=current_time;args={{"timezone":"Asia/Tokyo"}}]]'
    turn = await take_turn(caller, agent, message, streamed=streamed)
    assert turn.answer["content"] == "tok0 tok1 tok2 "
    _, second = await assert_counted(scene, turn.run_id, word, 2)
    assert "Asia/Tokyo" in json.dumps(second["body"])
    assert "+09:00" in json.dumps(second["body"])
    if streamed:
        kinds = names(turn.events)
        assert kinds[:4] == ["run.started", "usage.recorded", "tool.called", "tool.completed"]
        called, completed = turn.events[2].data, turn.events[3].data
        assert (called["name"], json.loads(called["args"])) == ("current_time", {"timezone": "Asia/Tokyo"})
        assert (completed["id"], completed["is_error"]) == (called["id"], False)
        assert json.loads(completed["content"])["timezone"] == "Asia/Tokyo"


@each_wire
@both_ways
async def test_parallel_and_mistaken_tool_calls_each_get_their_result(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("parallel")
    agent = await caller.agent(model=model, tools=[{"type": "builtin", "name": "current_time"}])
    tools = '[[tool=current_time;args={"timezone":"Mars/Base"}]] [[tool=no_such_tool]] [[tool=current_time]]'
    turn = await take_turn(caller, agent, f"{word} [[n=2]] {tools}", streamed=streamed)
    assert turn.answer["content"] == "tok0 tok1 "
    _, second = await assert_counted(scene, turn.run_id, word, 2)
    sent = json.dumps(second["body"])
    assert "There is no time zone" in sent
    assert "There is no tool" in sent
    assert "weekday" in sent


@each_wire
@both_ways
async def test_a_structured_answer_is_parsed(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("output")
    agent = await caller.agent(model=model, output_schema=CITY)
    city = '{"city":"Bern","rank":2}'
    turn = await take_turn(caller, agent, f"{word} [[json={city}]] [[say={city}]]", streamed=streamed)
    assert turn.answer["output"] == {"city": "Bern", "rank": 2}
    assert json.loads(turn.answer["content"]) == {"city": "Bern", "rank": 2}
    (asked,) = await assert_counted(scene, turn.run_id, word, 1)
    assert "minLength" in json.dumps(asked["body"])


@each_wire
@both_ways
async def test_an_invalid_structured_answer_is_repaired_once_it_is_named(scene: Scene, caller: Caller, model: str, streamed: bool) -> None:
    word = unique("repair")
    agent = await caller.agent(model=model, output_schema=CITY)
    wrong = '{"city":"Bern","rank":"two"}'
    message = f"{word} [[json={wrong}]] [[say={wrong}]]"
    turn = await take_turn(caller, agent, message, streamed=streamed)
    assert turn.answer["output"] == {"city": "tok0", "rank": 1}
    _, second = await assert_counted(scene, turn.run_id, word, 2)
    assert "/rank" in json.dumps(second["body"])
    if streamed:
        assert names(turn.events).count("message.reset") == 1
        assert names(turn.events).count("message.completed") == 1
        assert json.loads(text_of(turn.events)) == turn.answer["output"]


@each_wire
@both_ways
async def test_an_answer_that_never_fits_the_schema_fails_clearly_and_is_counted(
    scene: Scene, caller: Caller, model: str, streamed: bool
) -> None:
    word = unique("misfit")
    schema = {"type": "object", "properties": {"city": {"type": "string", "pattern": "^[A-Z]+$"}}, "required": ["city"]}
    agent = await caller.agent(model=model, output_schema=schema)
    if streamed:
        async with caller.stream(agent, word) as reader:
            events = await reader.rest()
        assert events[-1].name == "run.failed"
        error, run_id = events[-1].data["error"], reader.run_id
    else:
        response = await caller.try_chat(agent, word)
        assert response.status_code == 502
        error, run_id = response.json(), response.json()["run_id"]
    assert error["code"] == "model-output-invalid"
    await assert_counted(scene, run_id, word, 3)
    run = await caller.get(f"/v2/runs/{run_id}")
    assert run["status"] == "failed"
    assert run["usage"]["total_tokens"] == sum(row["prompt_tokens"] + row["completion_tokens"] for row in await scene.usage_of(run_id))


@each_wire
@both_ways
@pytest.mark.parametrize(("media_type", "data"), [("image/png", PNG), ("application/pdf", PDF)], ids=["image", "pdf"])
async def test_attachments_reach_the_models_that_take_them(
    scene: Scene, caller: Caller, model: str, streamed: bool, media_type: str, data: bytes
) -> None:
    word = unique("file")
    agent = await caller.agent(model=model)
    attachments = [{"media_type": media_type, "data": base64.b64encode(data).decode()}]
    if model.startswith("vllm") and media_type == "application/pdf":
        response = await caller.try_chat(agent, word, attachments=attachments, stream=streamed)
        assert (response.status_code, response.json()["code"]) == (422, "model-attachment-refused")
        assert not scene.asked(word)
        return
    turn = await take_turn(caller, agent, f"{word} [[n=2]]", streamed=streamed, attachments=attachments)
    (asked,) = await assert_counted(scene, turn.run_id, word, 1)
    (file,) = asked["attachments"]
    assert file == {"media_type": media_type, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@each_wire
@pytest.mark.parametrize("media_type", ["audio/wav", "text/plain", "image/svg+xml"])
async def test_attachments_that_a_model_does_not_take_are_refused_before_a_run_exists(
    scene: Scene, caller: Caller, model: str, media_type: str
) -> None:
    word = unique("odd")
    agent = await caller.agent(model=model)
    response = await caller.try_chat(agent, word, attachments=[{"media_type": media_type, "data": "aGk="}])
    assert (response.status_code, response.json()["code"]) == (422, "model-attachment-refused")
    assert not scene.asked(word)
    assert not (await caller.get("/v2/runs", subject=agent))["items"]
