"""Agents and prompts change while they are talked to; each turn uses what its user would expect."""

from __future__ import annotations

import asyncio
import json

from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, text_of, unique


async def prompt_seen(scene: Scene, caller: Caller, agent: str) -> str:
    """The system prompt of a new turn, as the upstream saw it."""
    word = unique("prompt")
    await caller.chat(agent, word)
    return scene.asked(word)[0]["body"]["messages"][0]["content"]


async def make_prompt(caller: Caller, *texts: str) -> str:
    prompt = unique("prompt")
    await caller.post("/v2/prompts", {"id": prompt, "name": "A prompt", "template": texts[0]})
    for text in texts[1:]:
        await caller.patch(f"/v2/prompts/{prompt}", {"template": text})
    return prompt


async def bind(caller: Caller, prompt: str, **pin: object) -> str:
    agent = unique("agent")
    body = {"id": agent, "name": agent, "prompt_service_id": prompt, "config": {"model": "vllm:llama"}, **pin}
    return (await caller.post("/v2/agents", body))["id"]


async def test_an_agent_pinned_to_an_old_version_keeps_it_while_others_follow(scene: Scene, caller: Caller) -> None:
    prompt = await make_prompt(caller, "Version one.", "Version two.")
    pinned, following = await bind(caller, prompt, prompt_version=1), await bind(caller, prompt)
    assert await prompt_seen(scene, caller, pinned) == "Version one."
    assert await prompt_seen(scene, caller, following) == "Version two."
    await caller.patch(f"/v2/prompts/{prompt}", {"template": "Version three."})
    assert await prompt_seen(scene, caller, pinned) == "Version one."
    assert await prompt_seen(scene, caller, following) == "Version three."


async def test_a_rolled_back_prompt_is_used_from_the_next_turn_on(scene: Scene, caller: Caller) -> None:
    prompt = await make_prompt(caller, "Good text.", "Bad text.")
    agent = await bind(caller, prompt)
    assert await prompt_seen(scene, caller, agent) == "Bad text."
    assert (await caller.post(f"/v2/prompts/{prompt}/rollback", {"version": 1}))["version"] == 3
    assert await prompt_seen(scene, caller, agent) == "Good text."


async def test_a_label_that_moves_takes_its_agents_along(scene: Scene, caller: Caller) -> None:
    prompt = await make_prompt(caller, "One.", "Two.")
    assert (await caller.http.put(f"/v2/prompts/{prompt}/labels/production", json={"version": 1})).is_success
    agent = await bind(caller, prompt, prompt_label="production")
    assert await prompt_seen(scene, caller, agent) == "One."
    assert (await caller.http.put(f"/v2/prompts/{prompt}/labels/production", json={"version": 2})).is_success
    assert await prompt_seen(scene, caller, agent) == "Two."


async def test_a_change_at_one_replica_is_used_at_the_other_at_once(scene: Scene, caller: Caller, elsewhere: Caller) -> None:
    prompt = await make_prompt(caller, "Before.")
    agent = unique("agent")
    body = {"id": agent, "name": agent, "prompt_service_id": prompt, "config": {"model": "openai:gpt-4o"}}
    await caller.post("/v2/agents", body)
    assert await prompt_seen(scene, elsewhere, agent) == "Before."
    await caller.patch(f"/v2/prompts/{prompt}", {"template": "After."})
    async with asyncio.timeout(2):  # by NOTIFY; at the latest when the cache is too old
        while await prompt_seen(scene, elsewhere, agent) != "After.":
            await asyncio.sleep(0.02)


async def test_a_deleted_agent_answers_no_more_and_a_new_one_of_its_id_is_itself(scene: Scene, caller: Caller) -> None:
    agent = await caller.agent(model="vllm:llama", template="Old self.")
    session = unique("session")
    await caller.chat(agent, "old words", session_id=session)
    for _ in range(2):
        assert (await caller.http.delete(f"/v2/agents/{agent}")).status_code == 204
    gone = await caller.try_chat(agent, "hi")
    assert (gone.status_code, gone.json()["code"]) == (404, "agent-not-found")
    body = {"id": agent, "name": agent, "template": "New self.", "config": {"model": "vllm:llama", "num_history_runs": 2}}
    assert (await caller.http.post("/v2/agents", json=body)).status_code == 201
    assert await prompt_seen(scene, caller, agent) == "New self."
    word = unique("anew")
    await caller.chat(agent, word, session_id=session)
    assert "old words" in json.dumps(scene.asked(word)[0]["body"]), "the session is the user's, and goes on"


async def test_two_agents_with_equal_names_are_two_agents(scene: Scene, caller: Caller) -> None:
    agents = [unique("twin"), unique("twin")]
    for agent in agents:
        body = {"id": agent, "name": "Twin", "template": f"I am {agent}.", "config": {"model": "vllm:llama"}}
        await caller.post("/v2/agents", body)
    for agent in agents:
        assert await prompt_seen(scene, caller, agent) == f"I am {agent}."
    await caller.patch(f"/v2/agents/{agents[0]}", {"template": "I have changed."})
    assert await prompt_seen(scene, caller, agents[0]) == "I have changed."
    assert await prompt_seen(scene, caller, agents[1]) == f"I am {agents[1]}."


async def test_a_turn_keeps_the_agent_that_it_began_with(scene: Scene, caller: Caller) -> None:
    word = unique("midway")
    agent = await caller.agent(model="vllm:llama", template="Before.", tools=[{"type": "builtin", "name": "current_time"}])
    async with caller.stream(agent, f"{word} [[n=2 itl=50]] [[tool=current_time]] [[rounds=3]]") as reader:
        await reader.until("tool.completed")
        await caller.patch(f"/v2/agents/{agent}", {"template": "After.", "config": {"model": "vllm:other"}})
        events = await reader.rest()
    assert text_of(events) == "tok0 tok1 "
    seen = {(entry["body"]["messages"][0]["content"], entry["body"]["model"]) for entry in scene.asked(word)}
    assert seen == {("Before.", "llama")}


async def test_the_tools_of_a_prompt_join_those_of_the_agent(scene: Scene, caller: Caller) -> None:
    prompt, word = unique("prompt"), unique("tools")
    tools = [{"type": "builtin", "name": "current_time", "timezone": "Asia/Tokyo"}]
    await caller.post("/v2/prompts", {"id": prompt, "name": "With tools", "template": "Hi.", "tools": tools})
    agent = await bind(caller, prompt)
    await caller.chat(agent, f"{word} [[tool=current_time]]")
    first, second = scene.asked(word)
    assert [tool["function"]["name"] for tool in first["body"]["tools"]] == ["current_time"]
    assert "+09:00" in second["body"]["messages"][-1]["content"]
