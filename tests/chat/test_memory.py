"""Memory: told to an agent in one session, recalled in another, by the same user's turns with the same agent and nobody else's."""

from __future__ import annotations

import json
from typing import Any

from tests.chat.conftest import Scene
from tests.chat.wires import both_ways, each_wire, take_turn
from tests.e2e.calling import Caller, unique


async def remember(caller: Caller, agent: str, user: str, fact: str, *, streamed: bool = False) -> str:
    """Let the model remember a fact by its tool; the memory's id."""
    args = json.dumps({"action": "remember", "content": fact})
    await take_turn(caller, agent, f"remember [[tool=memory;args={args}]]", streamed=streamed, user_id=user)
    (memory,) = [item for item in await listed(caller, agent, user) if item["content"] == fact]
    return memory["id"]


async def listed(caller: Caller, agent: str, user: str) -> list[dict[str, Any]]:
    return (await caller.get("/v2/memories", agent_id=agent, user_id=user))["items"]


async def shown(scene: Scene, caller: Caller, agent: str, user: str | None) -> str:
    """What the upstream is shown in a new session of the user."""
    word = unique("recall")
    await caller.chat(agent, word, **({"user_id": user} if user else {}))
    return json.dumps(scene.asked(word)[0]["body"])


@each_wire
@both_ways
async def test_what_is_told_in_one_session_is_recalled_in_another_by_nobody_else(
    scene: Scene, caller: Caller, tenants: tuple[Caller, Caller], model: str, streamed: bool
) -> None:
    one, two = tenants
    agent, other_agent = await caller.agent(model=model), await caller.agent(model=model)
    fact = f"Ann's cat is called {unique('cat')}."
    memory_id = await remember(one, agent, "ann", fact, streamed=streamed)
    seen = await shown(scene, one, agent, "ann")
    assert fact in seen
    assert memory_id in seen
    assert fact not in await shown(scene, one, agent, "bob")
    assert fact not in await shown(scene, one, agent, None)
    assert fact not in await shown(scene, one, other_agent, "ann")
    assert fact not in await shown(scene, two, agent, "ann")
    assert fact not in await shown(scene, caller, agent, "ann")
    assert await listed(two, agent, "ann") == []
    for path in (f"/v2/memories/{memory_id}",):
        assert (await two.http.get(path)).status_code == 404
        assert (await two.http.patch(path, json={"content": "stolen"})).status_code == 404
        assert (await two.http.delete(path)).status_code == 204
    assert [item["content"] for item in await listed(one, agent, "ann")] == [fact]


async def test_memories_are_edited_and_deleted_and_then_recalled_so(scene: Scene, caller: Caller) -> None:
    agent, user = await caller.agent(model="vllm:llama"), unique("user")
    first = await remember(caller, agent, user, "Likes tea.")
    second = await remember(caller, agent, user, "Lives in Bern.")
    await caller.patch(f"/v2/memories/{first}", {"content": "Likes coffee."})
    seen = await shown(scene, caller, agent, user)
    assert "Likes coffee." in seen
    assert "Likes tea." not in seen
    assert seen.index("Likes coffee.") < seen.index("Lives in Bern.")
    for _ in range(2):
        assert (await caller.http.delete(f"/v2/memories/{first}")).status_code == 204
    assert (await caller.http.get(f"/v2/memories/{first}")).status_code == 404
    seen = await shown(scene, caller, agent, user)
    assert "Likes" not in seen
    assert "Lives in Bern." in seen
    assert [item["id"] for item in await listed(caller, agent, user)] == [second]


async def test_a_program_may_tell_a_memory_too(scene: Scene, caller: Caller) -> None:
    agent, user = await caller.agent(model="vllm:llama"), unique("user")
    await caller.post("/v2/memories", {"agent_id": agent, "user_id": user, "content": "Speaks Danish."})
    assert "Speaks Danish." in await shown(scene, caller, agent, user)


async def test_the_model_recalls_and_forgets_by_its_tool(scene: Scene, caller: Caller) -> None:
    agent, user = await caller.agent(model="vllm:llama"), unique("user")
    memory_id = await remember(caller, agent, user, "Likes tea.")
    word = unique("forget")
    tools = f'[[tool=memory;args={{"action":"recall"}}]] [[tool=memory;args={{"action":"forget","id":"{memory_id}"}}]]'
    await caller.chat(agent, f"{word} {tools}", user_id=user)
    results = [message["content"] for message in scene.asked(word)[1]["body"]["messages"] if message["role"] == "tool"]
    assert json.loads(results[1]) == {"forgotten": memory_id}
    assert await listed(caller, agent, user) == []


async def test_another_users_memory_is_not_forgotten_by_its_id(caller: Caller) -> None:
    agent, ann, bob = await caller.agent(model="vllm:llama"), unique("ann"), unique("bob")
    memory_id = await remember(caller, agent, ann, "Likes tea.")
    await caller.chat(agent, f'[[tool=memory;args={{"action":"forget","id":"{memory_id}"}}]]', user_id=bob)
    assert len(await listed(caller, agent, ann)) == 1


async def test_with_memory_off_nothing_is_offered_or_recalled(scene: Scene, caller: Caller) -> None:
    agent, user = await caller.agent(model="vllm:llama"), unique("user")
    await remember(caller, agent, user, "Likes tea.")
    await caller.patch(f"/v2/agents/{agent}", {"config": {"enable_memory": False}})
    seen = await shown(scene, caller, agent, user)
    assert "Likes tea." not in seen
    assert '"tools"' not in seen


async def test_odd_arguments_are_told_to_the_model_and_store_nothing(caller: Caller) -> None:
    agent, user, word = await caller.agent(model="vllm:llama"), unique("user"), unique("odd")
    odd = ['{"action":"remember"}', '{"action":"remember","content":"  "}', '{"action":"steal"}', '{"action":"forget"}', "{}"]
    odd.append(json.dumps({"action": "remember", "content": "x" * 2001}))
    tools = " ".join(f"[[tool=memory;args={args}]]" for args in odd)
    assert (await caller.chat(agent, f"{word} {tools}", user_id=user))["status"] == "completed"
    events = (await caller.get("/v2/runs", user_id=user))["items"]
    completed = [event.data for event in await caller.replay(events[0]["id"]) if event.name == "tool.completed"]
    assert [event["is_error"] for event in completed] == [True] * len(odd)
    assert await listed(caller, agent, user) == []
