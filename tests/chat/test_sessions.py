"""Conversations: what of the past the model is shown, whose session it is, and that turns never mix."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.chat.wires import each_wire
from tests.e2e.calling import Caller, unique


def said_to_model(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Role and text of the messages that an OpenAI-compatible upstream was shown, without the system prompt."""
    return [(message["role"], message["content"]) for message in entry["body"]["messages"] if message["role"] != "system"]


async def test_in_a_session_of_thirty_turns_the_model_sees_the_last_runs_only(scene: Scene, caller: Caller) -> None:
    word, session = unique("long"), unique("session")
    agent = await caller.agent(model="vllm:llama", num_history_runs=4)
    for number in range(30):
        await caller.chat(agent, f"{word} turn {number} [[say=answer {number}]]", session_id=session)
    asked = scene.asked(word)
    assert len(asked) == 30
    for number, entry in enumerate(asked):
        expected: list[tuple[str, str]] = []
        for earlier in range(max(0, number - 4), number):
            expected += [("user", f"{word} turn {earlier} [[say=answer {earlier}]]"), ("assistant", f"answer {earlier}")]
        assert said_to_model(entry) == [*expected, ("user", f"{word} turn {number} [[say=answer {number}]]")]
    messages: list[dict[str, Any]] = []
    page = await caller.get(f"/v2/sessions/{session}/messages", limit=25)
    messages += page["items"]
    while page["next_cursor"]:
        page = await caller.get(f"/v2/sessions/{session}/messages", limit=25, cursor=page["next_cursor"])
        messages += page["items"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 30
    assert [message["text"] for message in messages[1::2]] == [f"answer {number}" for number in range(30)]


@pytest.mark.parametrize("config", [{"enable_history": False}, {"num_history_runs": 0}], ids=["off", "none"])
async def test_without_history_the_model_sees_this_turn_alone(scene: Scene, caller: Caller, config: dict[str, Any]) -> None:
    word, session = unique("alone"), unique("session")
    agent = await caller.agent(model="vllm:llama", **config)
    for _ in range(3):
        await caller.chat(agent, word, session_id=session)
    assert [said_to_model(entry) for entry in scene.asked(word)] == [[("user", word)]] * 3


@each_wire
async def test_a_tool_call_of_an_earlier_turn_goes_along_with_its_result(scene: Scene, caller: Caller, model: str) -> None:
    word, session = unique("past"), unique("session")
    agent = await caller.agent(model=model, tools=[{"type": "builtin", "name": "current_time"}])
    first = await caller.chat(agent, f'{word} [[think=2]] [[tool=current_time;args={{"timezone":"Asia/Tokyo"}}]]', session_id=session)
    second = await caller.chat(agent, f"{word} second", session_id=session)
    assert (first["status"], second["status"]) == ("completed", "completed")
    last = str(scene.asked(f"{word} second")[0]["body"])
    assert "+09:00" in last
    assert last.index("Asia/Tokyo") < last.index(f"{word} second")


async def test_failed_and_cancelled_turns_are_no_history(scene: Scene, caller: Caller) -> None:
    word, session = unique("dropped"), unique("session")
    agent = await caller.agent(model="vllm:llama")
    await caller.chat(agent, f"{word} good [[say=yes]]", session_id=session)
    failed = await caller.try_chat(agent, f"{word} bad [[fault=400]]", session_id=session)
    assert failed.status_code == 502
    async with caller.stream(agent, f"{word} stopped [[n=500 itl=10]]", session_id=session) as reader:
        await reader.take(3)
        await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
        assert (await reader.rest())[-1].name == "run.cancelled"
    await caller.chat(agent, f"{word} last", session_id=session)
    assert said_to_model(scene.asked(f"{word} last")[0]) == [
        ("user", f"{word} good [[say=yes]]"),
        ("assistant", "yes"),
        ("user", f"{word} last"),
    ]
    messages = (await caller.get(f"/v2/sessions/{session}/messages"))["items"]
    assert [message["run_status"] for message in messages] == ["completed", "completed", "failed", "cancelled", "completed", "completed"]


async def test_two_turns_at_once_in_one_session_end_in_order_or_are_refused_never_mixed(scene: Scene, caller: Caller) -> None:
    agent = await caller.agent(model="vllm:llama", num_history_runs=50)

    async def race(number: int) -> None:
        word, session = unique("race"), unique("session")
        await caller.chat(agent, f"{word} opening [[say=opened]]", session_id=session)
        turns = (caller.try_chat(agent, f"{word} {side} [[say=said {side}]] [[ttft=20]]", session_id=session) for side in ("left", "right"))
        answers = await asyncio.gather(*turns)
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses in ([200, 200], [200, 409]), number
        for answer in answers:
            if answer.status_code == 409:
                assert answer.json()["code"] == "session-busy"
                assert "retry-after" in answer.headers
        messages = (await caller.get(f"/v2/sessions/{session}/messages"))["items"]
        texts = [message["text"] for message in messages]
        assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2)
        for asked, answered in zip(texts[2::2], texts[3::2], strict=True):
            assert answered == f"said {'left' if ' left ' in asked else 'right'}"
        for entry in scene.asked(word):
            roles = [role for role, _ in said_to_model(entry)]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        # The session is free again.
        assert (await caller.chat(agent, f"{word} after", session_id=session))["status"] == "completed"

    for first in range(0, 20, 5):
        await asyncio.gather(*(race(first + number) for number in range(5)))


async def test_a_session_belongs_to_its_user(caller: Caller) -> None:
    agent, session = await caller.agent(), unique("session")
    await caller.chat(agent, "hi", session_id=session, user_id="ann")
    for user in ("bob", None):
        response = await caller.try_chat(agent, "hi", session_id=session, user_id=user)
        assert (response.status_code, response.json()["code"]) == (404, "session-not-found")
    assert (await caller.chat(agent, "hi", session_id=session, user_id="ann"))["session_id"] == session
    assert len((await caller.get("/v2/runs", session_id=session))["items"]) == 2
    assert [item["id"] for item in (await caller.get("/v2/sessions", agent_id=agent))["items"]] == [session]
    assert (await caller.get(f"/v2/sessions/{session}"))["user_id"] == "ann"


async def test_the_same_session_id_in_two_tenants_is_two_sessions(scene: Scene, caller: Caller, tenants: tuple[Caller, Caller]) -> None:
    one, two = tenants
    word, session = unique("walls"), unique("session")
    agent = await caller.agent(model="vllm:llama")
    await one.chat(agent, f"{word} secret of one", session_id=session)
    await two.chat(agent, f"{word} two asks", session_id=session)
    assert said_to_model(scene.asked(f"{word} two asks")[0]) == [("user", f"{word} two asks")]
    for tenant, text in ((one, "secret of one"), (two, "two asks")):
        messages = (await tenant.get(f"/v2/sessions/{session}/messages"))["items"]
        assert [message["text"] for message in messages if message["role"] == "user"] == [f"{word} {text}"]
    response = await two.http.delete(f"/v2/sessions/{session}")
    assert response.status_code == 204
    assert (await two.http.get(f"/v2/sessions/{session}")).status_code == 404
    assert (await one.get(f"/v2/sessions/{session}"))["id"] == session


async def test_a_deleted_session_is_gone_with_its_runs_and_what_it_spent_stays_counted(scene: Scene, caller: Caller) -> None:
    word, session = unique("deleted"), unique("session")
    agent = await caller.agent(model="vllm:llama")
    answer = await caller.chat(agent, f"{word} first", session_id=session)
    async with caller.stream(agent, f"{word} running [[n=500 itl=10]]", session_id=session) as reader:
        await reader.take(2)
        busy = await caller.http.delete(f"/v2/sessions/{session}")
        assert (busy.status_code, busy.json()["code"]) == (409, "session-busy")
        await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
    for _ in range(2):
        assert (await caller.http.delete(f"/v2/sessions/{session}")).status_code == 204
    for path in (f"/v2/sessions/{session}", f"/v2/sessions/{session}/messages", f"/v2/runs/{answer['run_id']}"):
        assert (await caller.http.get(path)).status_code == 404
    assert (await caller.get("/v2/usage", session_id=session))["total"]["calls"] == 2
    await caller.chat(agent, f"{word} anew", session_id=session)
    assert said_to_model(scene.asked(f"{word} anew")[0]) == [("user", f"{word} anew")]


async def test_a_script_goes_on_through_a_session_and_begins_anew_in_another(caller: Caller) -> None:
    turns = [
        {"text": "Hello, {message}."},
        {"tool_calls": [{"name": "current_time", "args": {"timezone": "Asia/Tokyo"}}]},
        {"text": "It is {tool_result}, after {history} messages."},
        {"text": "Goodbye."},
    ]
    agent = await caller.agent(
        model="scripted:guide", script={"turns": turns}, num_history_runs=1, tools=[{"type": "builtin", "name": "current_time"}]
    )
    session = unique("session")
    assert (await caller.chat(agent, "Ann", session_id=session))["content"] == "Hello, Ann."
    second = (await caller.chat(agent, "What time is it?", session_id=session))["content"]
    assert "Asia/Tokyo" in second
    assert second.endswith("after 2 messages.")
    for _ in range(2):
        assert (await caller.chat(agent, "Bye", session_id=session))["content"] == "Goodbye."
    assert (await caller.chat(agent, "Bob", session_id=unique("session")))["content"] == "Hello, Bob."
    usage = (await caller.get("/v2/usage", session_id=session))["total"]
    assert (usage["calls"], usage["cost"], usage["estimated_calls"]) == (5, 0, 0)


async def test_agents_share_a_session_without_seeing_each_others_tools(scene: Scene, caller: Caller) -> None:
    word, session = unique("shared"), unique("session")
    clock = await caller.agent(model="vllm:llama", tools=[{"type": "builtin", "name": "current_time"}])
    other = await caller.agent(model="vllm:llama")
    await caller.chat(clock, f"{word} time [[say=noon]] [[tool=current_time]]", session_id=session)
    await caller.chat(other, f"{word} and now", session_id=session)
    entry = scene.asked(f"{word} and now")[0]
    assert said_to_model(entry) == [
        ("user", f"{word} time [[say=noon]] [[tool=current_time]]"),
        ("assistant", "noon"),
        ("user", f"{word} and now"),
    ]
    assert "tools" not in entry["body"]


async def test_a_user_may_say_what_our_notes_to_the_model_say(scene: Scene, caller: Caller) -> None:
    agent, session, word = await caller.agent(), unique("session"), unique("asked")
    await caller.chat(agent, f"{unique('first')} [[n=3]]", session_id=session)
    await caller.chat(agent, "Do not answer yet: call the think tool with the next step of your reasoning.", session_id=session)
    await caller.chat(agent, word, session_id=session)
    (asked,) = scene.asked(word)
    assert [message["role"] for message in asked["body"]["messages"] if message["role"] != "system"] == ["user", "assistant"] * 2 + ["user"]


async def test_an_answer_that_was_rejected_and_mended_is_no_history(scene: Scene, caller: Caller) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    script = {"turns": [{"text": "no json"}, {"output": {"n": 7}}, {"output": {"n": 8}}]}
    agent = await caller.agent(model="scripted:mends", output_schema=schema, script=script)
    session = unique("session")
    assert (await caller.chat(agent, "first", session_id=session))["output"] == {"n": 7}
    other, word = await caller.agent(), unique("asked")
    await caller.chat(other, word, session_id=session)
    (asked,) = scene.asked(word)
    said = [(message["role"], message["content"]) for message in asked["body"]["messages"] if message["role"] != "system"]
    assert [role for role, _ in said] == ["user", "assistant", "user"]
    assert "no json" not in str(said)
