"""Upstreams that are dead, rude, silent or break off: the right problem in time, never half an answer, and all is counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import WIRES, both_ways, each_wire, take_turn
from tests.e2e.calling import Caller, answer_of, names, text_of, unique

IN_TIME = 15  # seconds, which a dead provider's caller is promised

RUDE = {
    "fault=500": (503, "model-unavailable"),
    "fault=503": (503, "model-unavailable"),
    "fault=429": (503, "model-rate-limited"),
    "fault=401": (502, "model-credentials"),
    "fault=400": (502, "model-rejected"),
    "fault=404": (502, "model-rejected"),
    "fault=close": (503, "model-unavailable"),
    "fault=reset": (503, "model-unavailable"),
    "fault=html": (502, "model-answer-invalid"),
    "fault=invalid": (502, "model-answer-invalid"),
}


async def fail(caller: Caller, agent: str, message: str, *, streamed: bool) -> tuple[int, dict[str, Any]]:
    """The status (200 for a stream) and the problem of a turn that must fail in time."""
    async with asyncio.timeout(IN_TIME):
        if not streamed:
            response = await caller.try_chat(agent, message)
            return response.status_code, response.json()
        async with caller.stream(agent, message) as reader:
            events = await reader.rest()
    assert names(events)[0] == "run.started"
    assert names(events)[-1] == "run.failed", events[-1].raw
    assert events[-1].data["status"] == "failed"
    return 200, {**events[-1].data["error"], "run_id": reader.run_id}


async def assert_failed(caller: Caller, problem: dict[str, Any], code: str) -> dict[str, Any]:
    assert problem["code"] == code, problem
    run = await caller.get(f"/v2/runs/{problem['run_id']}")
    assert (run["status"], run["error"]["code"]) == ("failed", code)
    assert run["completed_at"] is not None
    return run


@both_ways
async def test_a_rude_upstream_is_told_apart_in_time(caller: Caller, streamed: bool) -> None:
    agents = [await caller.agent(model=model) for model in WIRES.values()]

    async def one(agent: str, fault: str, status: int, code: str) -> None:
        told, problem = await fail(caller, agent, f"{unique('rude')} [[{fault}]]", streamed=streamed)
        assert told == (200 if streamed else status), (fault, problem)
        await assert_failed(caller, problem, code)
        assert "sk-fake" not in json.dumps(problem)

    async with asyncio.TaskGroup() as group:
        for agent in agents:
            for fault, (status, code) in RUDE.items():
                group.create_task(one(agent, fault, status, code))


@both_ways
@pytest.mark.parametrize("model", ["dead:gpt", "nowhere:gpt"])
async def test_a_dead_upstream_is_unavailable_in_time(caller: Caller, model: str, streamed: bool) -> None:
    agent = await caller.agent(model=model)
    status, problem = await fail(caller, agent, "hi", streamed=streamed)
    assert status == (200 if streamed else 503)
    run = await assert_failed(caller, problem, "model-unavailable")
    assert run["usage"]["total_tokens"] == 0
    assert "BASE_URL" in problem["hint"]


@both_ways
async def test_a_silent_upstream_is_cut_at_its_first_byte_limit_which_is_named(caller: Caller, streamed: bool) -> None:
    agent = await caller.agent(model="hasty:gpt")
    status, problem = await fail(caller, agent, "[[fault=hang]]", streamed=streamed)
    assert status == (200 if streamed else 504)
    await assert_failed(caller, problem, "model-timeout")
    assert "POINTSMAN_PROVIDERS__HASTY__FIRST_BYTE" in problem["hint"]


async def test_an_upstream_that_falls_silent_within_its_answer_is_cut_and_counted(scene: Scene, caller: Caller) -> None:
    agent = await caller.agent(model="hasty:gpt")
    _, problem = await fail(caller, agent, "[[n=9 itl=5 fault=hang;after=4]]", streamed=True)
    run = await assert_failed(caller, problem, "model-timeout")
    assert run["content"] == "tok0 tok1 tok2 tok3 "
    (row,) = await scene.usage_of(problem["run_id"])
    assert row["is_estimated"]
    assert row["completion_tokens"] > 0


async def test_an_upstream_that_drips_without_end_is_cut_at_the_total_limit(caller: Caller) -> None:
    agent = await caller.agent(model="hasty:gpt")
    _, problem = await fail(caller, agent, "[[fault=drip]]", streamed=True)
    await assert_failed(caller, problem, "model-timeout")
    assert "POINTSMAN_PROVIDERS__HASTY__TOTAL" in problem["hint"]


async def test_the_providers_own_pause_is_passed_on(caller: Caller) -> None:
    agent = await caller.agent(model="vllm:llama")
    response = await caller.try_chat(agent, "[[fault=429;retry_after=40]]")
    assert (response.status_code, response.headers["retry-after"]) == (503, "40")


@each_wire
@both_ways
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tool"])
async def test_an_answer_cut_before_its_finish_reason_is_never_taken_for_an_answer(
    scene: Scene, caller: Caller, model: str, streamed: bool, tools: bool
) -> None:
    word = unique("cut")
    agent = await caller.agent(model=model, tools=[{"type": "builtin", "name": "current_time"}], model_settings={"max_tokens": 2000})
    call = "[[tool=current_time]]" if tools else ""
    status, problem = await fail(caller, agent, f"{word} [[n=6 itl=2 fault=cut]] {call}", streamed=streamed)
    assert status == (200 if streamed else 502)
    run = await assert_failed(caller, problem, "model-answer-invalid")
    events = await caller.replay(problem["run_id"], verbosity="full")
    assert not {"message.completed", "tool.called", "run.completed"} & set(names(events))
    (row,) = await scene.usage_of(problem["run_id"])
    assert row["prompt_tokens"] > 0
    assert run["usage"]["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    assert len(scene.asked(word)) == 1, "what had begun to answer is not asked again"


@each_wire
async def test_an_error_in_the_middle_of_a_stream_fails_the_run(scene: Scene, caller: Caller, model: str) -> None:
    agent = await caller.agent(model=model)
    for fault in ("error", "close", "reset", "truncate", "invalid"):
        _, problem = await fail(caller, agent, f"{unique('broken')} [[n=6 itl=2 fault={fault};after=3]]", streamed=True)
        assert problem["code"].startswith("model-"), (fault, problem)
        (row,) = await scene.usage_of(problem["run_id"])
        assert row["is_estimated"]


@both_ways
async def test_an_upstream_that_fails_once_is_asked_again_without_a_trace(scene: Scene, caller: Caller, streamed: bool) -> None:
    async def one(model: str) -> None:
        word = unique("again")
        agent = await caller.agent(model=model)
        turn = await take_turn(caller, agent, f"{word} [[n=2 fault=503;fail_times=1]]", streamed=streamed)
        assert turn.answer["content"] == "tok0 tok1 "
        first, second = scene.asked(word)
        assert first["status"] == 503
        assert await scene.usage_of(turn.run_id) == [{**second["usage"], "is_estimated": False}]

    async with asyncio.TaskGroup() as group:
        for model in WIRES.values():
            group.create_task(one(model))


@both_ways
async def test_a_fallback_answers_where_the_model_fails(scene: Scene, caller: Caller, streamed: bool) -> None:
    word = unique("fallback")
    agent = await caller.agent(model="dead:gpt", model_fallbacks=["nowhere:gpt", WIRES["anthropic"]])
    turn = await take_turn(caller, agent, f"{word} [[n=3]]", streamed=streamed)
    assert (turn.answer["content"], turn.answer["model"]) == ("tok0 tok1 tok2 ", WIRES["anthropic"])
    assert await scene.usage_of(turn.run_id) == [{**scene.asked(word)[0]["usage"], "is_estimated": False}]
    assert "message.reset" not in names(turn.events)


@each_wire
async def test_a_fallback_begins_anew_where_the_model_broke_off(scene: Scene, caller: Caller, model: str) -> None:
    word = unique("midway")
    other = WIRES["google"] if model == WIRES["anthropic"] else WIRES["anthropic"]
    agent = await caller.agent(model=model, model_fallbacks=[other])
    message = f"{word} [[n=8 itl=3 fault=close;after=4;fail_times=1]]"
    turn = await take_turn(caller, agent, message, streamed=True)
    kinds = names(turn.events)
    assert kinds.count("message.reset") == 1
    assert "message.delta" in kinds[: kinds.index("message.reset")]
    assert text_of(turn.events) == turn.answer["content"] == "".join(f"tok{i} " for i in range(8))
    assert turn.answer["model"] == other
    broken, whole = await scene.usage_of(turn.run_id)
    assert broken["is_estimated"]
    assert whole == {**scene.asked(word)[1]["usage"], "is_estimated": False}
    assert turn.answer["usage"]["is_estimated"]


@each_wire
async def test_a_client_that_leaves_its_stream_finds_the_run_complete_and_counted(scene: Scene, caller: Caller, model: str) -> None:
    word = unique("leaves")
    agent = await caller.agent(model=model)
    async with caller.stream(agent, f"{word} [[n=30 itl=15 cached=5 reasoning=3]]") as reader:
        await reader.take(3)
    run = await caller.ended(reader.run_id)
    assert run["status"] == "completed"
    assert run["content"] == "".join(f"tok{i} " for i in range(30))
    (asked,) = scene.asked(word)
    assert asked["completed"]
    assert not asked["aborted"]
    assert await scene.usage_of(reader.run_id) == [{**asked["usage"], "is_estimated": False}]
    assert answer_of(await caller.replay(reader.run_id))["content"] == run["content"]


async def test_a_client_that_leaves_before_the_json_answer_finds_the_run_complete_and_counted(scene: Scene, caller: Caller) -> None:
    word = unique("impatient")
    agent, session = await caller.agent(), unique("session")
    with pytest.raises(httpx.ReadTimeout):
        await caller.http.post(f"/v2/agents/{agent}/chat", json={"message": f"{word} [[n=5 ttft=700]]", "session_id": session}, timeout=0.3)
    (run,) = (await caller.get("/v2/runs", session_id=session))["items"]
    assert run["status"] == "running"
    assert (await caller.ended(run["id"]))["content"] == "tok0 tok1 tok2 tok3 tok4 "
    assert await scene.usage_of(run["id"]) == [{**scene.asked(word)[0]["usage"], "is_estimated": False}]


async def test_a_turn_whose_model_never_stops_calling_tools_ends(scene: Scene, caller: Caller) -> None:
    word = unique("circle")
    agent = await caller.agent(tools=[{"type": "builtin", "name": "current_time"}])
    response = await caller.try_chat(agent, f"{word} [[tool=current_time]] [[rounds=1000]]")
    assert (response.status_code, response.json()["code"]) == (502, "model-too-many-steps")
    asked = scene.asked(word)
    assert len(asked) == 32
    assert await scene.usage_of(response.json()["run_id"]) == [{**entry["usage"], "is_estimated": False} for entry in asked]
