"""A coordinating team: its leader gives members tasks as it calls tools, and one stream tells what all of them do."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from tests.chat.conftest import Scene
from tests.chat.team_scene import run, said_by, scripted, streamed, task, team_of, texts_of, try_run
from tests.e2e.calling import Caller, answer_of, names, unique


async def test_the_leader_is_told_what_a_member_answers_and_ends_the_run(caller: Caller) -> None:
    writer = await caller.agent(model="scripted:echo")
    leader = await scripted(
        caller, {"text": "Wait. ", "tool_calls": [task(writer, "Write a haiku.", "c1")]}, {"text": "Got: {tool_result}"}
    )
    team = await team_of(caller, leader, writer)
    answer = await run(caller, team)
    assert (answer["status"], answer["content"], answer["agent_id"], answer["team_id"]) == (
        "completed",
        "Got: Write a haiku.",
        leader,
        team,
    )
    assert answer["approvals"] == []
    read = await caller.get(f"/v2/runs/{answer['run_id']}")
    assert (read["kind"], read["subject"], read["status"], read["content"]) == ("team", team, "completed", "Got: Write a haiku.")
    assert read["usage"] == answer["usage"]


async def test_the_stream_says_who_speaks_and_readers_who_ignore_that_mix_no_texts(caller: Caller) -> None:
    writer, critic = await caller.agent(model="scripted:echo"), await scripted(caller, {"text": "It is too long."})
    calls = [task(writer, "one two three", "c1"), task(critic, "Judge.", "c2")]
    leader = await scripted(caller, {"text": "Let me ask. ", "tool_calls": calls}, {"text": "All is said."})
    events = await streamed(caller, await team_of(caller, leader, writer, critic))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert (names(events)[0], names(events)[-1], names(events).count("run.started")) == ("run.started", "run.completed", 1)
    assert sorted(texts_of(events).values()) == ["All is said.", "It is too long.", "Let me ask. ", "one two three"]
    assert set(said_by(events)) == {(None, "Let me ask. "), (writer, "one two three"), (critic, "It is too long."), (None, "All is said.")}
    nested = [event for event in events if "member" in event.data]
    assert {(event.data["member"], event.data["call"]) for event in nested} == {(writer, "c1"), (critic, "c2")}
    assert {event.data["run_id"] for event in events} == {events[0].data["run_id"]}
    for member, call in ((writer, "c1"), (critic, "c2")):
        own = [event.id for event in nested if event.data["member"] == member]
        called = next(event.id for event in events if event.name == "tool.called" and event.data["id"] == call)
        completed = next(event.id for event in events if event.name == "tool.completed" and event.data["id"] == call)
        assert called < own[0] <= own[-1] < completed


async def test_a_replay_is_byte_for_byte_what_was_sent(caller: Caller, elsewhere: Caller) -> None:
    writer = await scripted(caller, {"text": "a b c d", "reasoning": "hm"})
    leader = await scripted(caller, {"tool_calls": [task(writer, "x", "c1")]}, {"text": "End."})
    events = await streamed(caller, await team_of(caller, leader, writer))
    run_id = events[0].data["run_id"]
    assert await elsewhere.replay(run_id) == events
    assert await elsewhere.replay(run_id, after=5) == events[5:]
    quiet = await elsewhere.replay(run_id, verbosity="events")
    assert [event.name for event in events if event.name != "reasoning.delta"] == names(quiet)
    assert any(event.name == "reasoning.delta" and event.data["member"] == writer for event in events)
    assert names(await elsewhere.replay(run_id, verbosity="result")) == ["run.started", "run.completed"]


async def test_members_work_at_the_same_time_where_the_leader_asks_so(caller: Caller) -> None:
    slow = [await scripted(caller, {"text": "done now", "delay_ms": 400}) for _ in range(4)]
    calls = [task(member, "Work.", f"c{number}") for number, member in enumerate(slow)]
    leader = await scripted(caller, {"tool_calls": calls}, {"text": "{tool_result}"})
    events = await streamed(caller, await team_of(caller, leader, *slow))
    first_done = next(event.id for event in events if event.name == "tool.completed")
    assert {event.data["member"] for event in events if event.name == "message.delta" and event.id < first_done} == set(slow)
    assert events[-1].data["content"] == "done now\ndone now\ndone now\ndone now"


async def test_tasks_of_one_member_follow_each_other_as_turns_of_its_own_conversation(caller: Caller) -> None:
    member = await scripted(
        caller, {"text": "first {history} {message}"}, {"text": "second {history} {message}"}, {"text": "third {message}"}
    )
    leader = await scripted(
        caller,
        {"tool_calls": [task(member, "A", "c1"), task(member, "B", "c2")]},
        {"text": "{tool_result}"},
        {"tool_calls": [task(member, "C", "c1")]},
        {"text": "{tool_result}"},
    )
    team, session = await team_of(caller, leader, member), unique("session")
    assert (await run(caller, team, session_id=session))["content"] == "first 0 A\nsecond 2 B"
    assert (await run(caller, team, session_id=session))["content"] == "third C"
    assert (await run(caller, team))["content"] == "first 0 A\nsecond 2 B"


async def test_each_member_has_its_own_prompt_model_tools_and_variables(caller: Caller) -> None:
    clock = [{"type": "builtin", "name": "current_time"}]
    turns = [{"text": "{system} | {tools} | {model}"}]
    first = await caller.agent(model="scripted:one", script={"turns": turns}, template="You are {who}.", tools=clock)
    second = await caller.agent(model="scripted:two", script={"turns": turns}, template="Second.")
    calls = [task(first, "x", "c1"), task(second, "x", "c2")]
    leader = await scripted(caller, {"tool_calls": calls}, {"text": "{tool_result}"}, template="I lead {who}.")
    team = await team_of(caller, leader, first, second)
    answer = await run(caller, team, variables={"who": "Ann"})
    assert answer["content"] == "You are Ann. | current_time | scripted:one\nSecond. |  | scripted:two"
    refused = await try_run(caller, team, variables={"whom": "Ann"})
    assert (refused.status_code, refused.json()["code"], refused.json()["missing"]) == (422, "prompt-variables-missing", ["who"])
    assert refused.json()["unused"] == ["whom"]


async def test_the_leader_knows_its_members_by_role_and_in_their_order(caller: Caller) -> None:
    members = [await caller.agent(model="scripted:echo", agent_id=unique("m.ember")) for _ in range(2)]
    leader = await scripted(caller, {"text": "{system} TOOLS {tools}"}, template="Lead well.")
    team = await team_of(caller, leader)
    for member, role, order in zip(members, ("critic", "writer"), (7, 3), strict=True):
        await caller.http.put(f"/v2/teams/{team}/members/{member}", json={"role": role, "order_index": order})
    told = (await run(caller, team))["content"]
    assert told.startswith("Lead well.\n\nYou lead the team Desk.")
    tools = [f"delegate_to_{member.replace('.', '_')}" for member in reversed(members)]
    assert told.endswith(f"TOOLS {', '.join(tools)}")
    assert told.index("(writer)") < told.index("(critic)")


async def test_usage_is_each_members_own_and_the_run_has_all_of_it(scene: Scene, caller: Caller) -> None:
    def spending(text: str, tokens: int) -> dict[str, Any]:
        return {"text": text, "usage": {"prompt_tokens": tokens, "completion_tokens": 1}}

    one, two = await scripted(caller, spending("1", 100)), await scripted(caller, spending("2", 1000))
    calls = [task(one, "x", "c1"), task(two, "x", "c2")]
    leader = await scripted(caller, {"tool_calls": calls, "usage": {"prompt_tokens": 10, "completion_tokens": 1}}, spending("End.", 20))
    session = unique("session")
    events = await streamed(caller, await team_of(caller, leader, one, two), session_id=session, user_id="ann")
    answer = answer_of(events)
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"], answer["usage"]["total_tokens"]) == (1130, 4, 1134)
    assert {agent: part["prompt_tokens"] for agent, part in answer["usage"]["members"].items()} == {leader: 30, one: 100, two: 1000}
    reported = [event.data["prompt_tokens"] for event in events if event.name == "usage.recorded"]
    assert sorted(reported) == [10, 20, 100, 1000]
    rows = await scene.fetch("SELECT agent_id, session_id, user_id, prompt_tokens FROM token_usage WHERE session_id = $1", session)
    assert sorted((row["agent_id"], row["prompt_tokens"]) for row in rows) == sorted([(leader, 10), (leader, 20), (one, 100), (two, 1000)])
    assert {row["user_id"] for row in rows} == {"ann"}
    usage = await caller.get("/v2/usage", session_id=session, group_by="agent_id")
    assert usage["total"]["total_tokens"] == 1134


@pytest.mark.parametrize(
    ("failing", "heard"),
    [
        ({"model": "scripted:play", "script": {"turns": [{"error": {"status": 503, "message": "gone fishing"}}]}}, "gone fishing"),
        ({"model": "dead:model"}, "failed"),
        ({"model": "scripted:play", "script": {"turns": [{"text": "no"}]}, "output_schema": {"type": "object"}}, "does not match"),
    ],
)
async def test_a_member_that_fails_is_told_to_the_leader(caller: Caller, failing: dict[str, Any], heard: str) -> None:
    member, other = await caller.agent(**failing), await caller.agent(model="scripted:echo")
    calls = [task(member, "x", "c1"), task(other, "fine", "c2")]
    leader = await scripted(caller, {"tool_calls": calls}, {"text": "Heard: {tool_result}"})
    events = await streamed(caller, await team_of(caller, leader, member, other))
    assert events[-1].name == "run.completed", events[-1].data
    content = events[-1].data["content"]
    assert heard in content
    assert content.endswith("fine")
    ended = {event.data["id"]: event.data["is_error"] for event in events if event.name == "tool.completed"}
    assert ended == {"c1": True, "c2": False}
    assert "run.failed" not in names(events)


@pytest.mark.parametrize("args", [{}, {"task": ""}, {"task": 3}, {"task": "x", "more": 1}])
async def test_arguments_that_make_no_task_are_told_to_the_leader(caller: Caller, args: dict[str, Any]) -> None:
    member = await caller.agent(model="scripted:echo")
    calls = [{"name": f"delegate_to_{member}", "args": args}, {"name": "delegate_to_nobody", "args": {"task": "x"}}]
    leader = await scripted(caller, {"tool_calls": calls}, {"text": "{tool_result}"})
    content = (await run(caller, await team_of(caller, leader, member)))["content"]
    assert "task" in content
    assert "There is no tool 'delegate_to_nobody'" in content


async def test_a_leader_that_fails_fails_the_run(caller: Caller) -> None:
    member = await scripted(caller, {"text": "ok", "usage": {"prompt_tokens": 70, "completion_tokens": 1}})
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"error": {"status": 503}})
    answer = await try_run(caller, await team_of(caller, leader, member))
    assert (answer.status_code, answer.json()["code"]) == (503, "model-unavailable")
    read = await caller.get(f"/v2/runs/{answer.json()['run_id']}")
    assert (read["status"], read["usage"]["members"][member]["prompt_tokens"]) == ("failed", 70)


@pytest.mark.parametrize(
    ("agents", "code"),
    [([], "team-empty"), (["leader"], "team-empty"), (["member"], "team-without-leader"), (["leader", "gone"], "team-member-deleted")],
)
async def test_a_team_that_cannot_run_says_why_before_there_is_a_run(caller: Caller, agents: list[str], code: str) -> None:
    made = {name: await caller.agent(model="scripted:echo") for name in ("leader", "member", "gone")}
    members = [{"agent_id": made[name], "role": "leader" if name == "leader" else None} for name in agents]
    team = (await caller.post("/v2/teams", {"name": "x", "mode": "coordinate", "agents": members}))["id"]
    await caller.http.delete(f"/v2/agents/{made['gone']}")
    refused = await try_run(caller, team)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert (await caller.get("/v2/runs", subject=team))["items"] == []


async def test_an_unknown_team_and_a_wrong_body_are_told_apart(caller: Caller) -> None:
    assert (await try_run(caller, "none-such")).json()["code"] == "team-not-found"
    refused = (await try_run(caller, "none-such", mesage="x")).json()
    assert (refused["code"], refused["errors"][0]["pointer"]) == ("invalid-request", "/mesage")


async def test_what_members_did_is_listed_only_where_it_is_asked_for(caller: Caller) -> None:
    member = await caller.agent(model="scripted:echo")
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."})
    session = unique("session")
    run_id = (await run(caller, await team_of(caller, leader, member), session_id=session, user_id=unique("u")))["run_id"]
    assert (await caller.get("/v2/runs", subject=member))["items"] == []
    (child,) = (await caller.get("/v2/runs", parent_run_id=run_id))["items"]
    assert (child["kind"], child["subject"], child["parent_run_id"], child["content"]) == ("chat", member, run_id, "x")
    assert names(await caller.replay(child["id"]))[0] == "run.started"
    assert member not in {one["agent_id"] for one in (await caller.get("/v2/sessions", limit=200))["items"]}
    messages = (await caller.get(f"/v2/sessions/{child['session_id']}/messages"))["items"]
    assert [message["role"] for message in messages] == ["user", "assistant"]


async def test_a_session_goes_with_what_members_said_in_it(scene: Scene, caller: Caller) -> None:
    member = await caller.agent(model="scripted:echo")
    session = unique("session")
    leader = await scripted(caller, {"tool_calls": [task(member, f"secret of {session}", "c1")]}, {"text": "End."})
    run_id = (await run(caller, await team_of(caller, leader, member), session_id=session))["run_id"]
    assert (await caller.http.delete(f"/v2/sessions/{session}")).status_code == 204
    assert await scene.fetch("SELECT FROM runs WHERE id = $1 OR parent_run_id = $1", run_id) == []
    assert await scene.fetch("SELECT FROM messages WHERE session_id = $1 OR content::text LIKE '%secret of ' || $1 || '%'", session) == []


async def test_in_the_background_the_run_is_accepted_at_once(caller: Caller) -> None:
    member = await scripted(caller, {"text": "slow", "delay_ms": 300})
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."})
    answer = await try_run(caller, await team_of(caller, leader, member), background=True)
    accepted = answer.json()
    assert (answer.status_code, accepted["status"]) == (202, "running")
    assert answer.headers["location"] == f"/v2/runs/{accepted['run_id']}"
    assert accepted["events"] == f"/v2/runs/{accepted['run_id']}/events"
    assert (await caller.ended(accepted["run_id"]))["status"] == "completed"


async def test_a_key_of_idempotency_has_one_run_however_it_is_asked(caller: Caller, elsewhere: Caller) -> None:
    member = await scripted(caller, {"text": "slow", "delay_ms": 200})
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."})
    team, once = await team_of(caller, leader, member), {"idempotency-key": unique("key")}
    answers = await asyncio.gather(*(try_run(one, team, headers=once) for one in (caller, elsewhere, caller)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    (run_id,) = {answer.json()["run_id"] for answer in answers}
    assert len((await caller.get("/v2/runs", parent_run_id=run_id))["items"]) == 1


@pytest.mark.parametrize("at", ["here", "elsewhere"])
async def test_cancelling_the_run_ends_what_members_do(at: str, caller: Caller, elsewhere: Caller) -> None:
    member = await scripted(caller, {"text": "a very slow answer", "delay_ms": 2000})
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."})
    accepted = (await try_run(caller, await team_of(caller, leader, member), background=True)).json()
    run_id = accepted["run_id"]
    async with asyncio.timeout(10):
        while not (children := (await caller.get("/v2/runs", parent_run_id=run_id))["items"]):
            await asyncio.sleep(0.02)
    began = time.monotonic()
    cancelled = await (caller if at == "here" else elsewhere).post(f"/v2/runs/{run_id}/cancel", {})
    assert cancelled["status"] == "cancelled"
    child = await caller.get(f"/v2/runs/{children[0]['id']}")
    assert child["status"] == "cancelled"
    assert cancelled["usage"]["members"][member] == child["usage"]
    assert time.monotonic() - began < 30
    assert names(await caller.replay(run_id))[-1] == "run.cancelled"


async def test_a_member_that_is_cancelled_is_told_to_the_leader(caller: Caller) -> None:
    member = await scripted(caller, {"text": "a very slow answer", "delay_ms": 2000})
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "{tool_result}"})
    run_id = (await try_run(caller, await team_of(caller, leader, member), background=True)).json()["run_id"]
    async with asyncio.timeout(10):
        while not (children := (await caller.get("/v2/runs", parent_run_id=run_id))["items"]):
            await asyncio.sleep(0.02)
    await caller.post(f"/v2/runs/{children[0]['id']}/cancel", {})
    ended = await caller.ended(run_id)
    assert (ended["status"], "was cancelled" in ended["content"]) == ("completed", True)


async def test_a_team_that_is_changed_in_the_middle_goes_on_as_it_began(caller: Caller) -> None:
    member = await scripted(caller, {"text": "one"}, {"text": "two"})
    leader = await scripted(
        caller, {"text": "a b c", "delay_ms": 300, "tool_calls": [task(member, "x", "c1")]}, {"text": "Got {tool_result}"}
    )
    team = await team_of(caller, leader, member)
    run_id = (await try_run(caller, team, background=True)).json()["run_id"]
    await caller.http.delete(f"/v2/agents/{member}")
    await caller.http.delete(f"/v2/teams/{team}")
    assert (await caller.ended(run_id))["content"] == "Got one"


async def test_the_leaders_history_has_its_own_delegations_and_another_agent_hears_only_what_was_said(caller: Caller) -> None:
    member = await caller.agent(model="scripted:echo")
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."}, {"text": "{transcript}"})
    stranger = await scripted(caller, *[{"text": "{transcript}"}] * 9)
    team, session, other = await team_of(caller, leader, member), unique("session"), unique("session")
    for one in (session, other):
        await run(caller, team, "Hello team", session_id=one)
    assert (await run(caller, team, "And?", session_id=session))["content"] == "user: Hello team\nassistant: \ntool: x\nassistant: End."
    assert (await caller.chat(stranger, "Who are you?", session_id=other))["content"] == "user: Hello team\nassistant: End."


async def test_another_tenants_runs_of_a_team_do_not_exist(tenants: tuple[Caller, Caller], caller: Caller, scene: Scene) -> None:
    member = await caller.agent(model="scripted:echo")
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "End."})
    team = await team_of(caller, leader, member)
    key = await caller.post("/v2/keys", {"name": "k", "owner_id": unique("t"), "scopes": ["teams:run", "runs:read"]})
    owner = Caller(scene.url, key["api_key"])
    run_id = (await run(owner, team))["run_id"]
    (child,) = (await owner.get("/v2/runs", parent_run_id=run_id))["items"]
    for path in (f"/v2/runs/{run_id}", f"/v2/runs/{child['id']}"):
        assert (await tenants[0].http.get(path)).status_code == 404
    assert (await tenants[0].get("/v2/runs", parent_run_id=run_id))["items"] == []
    assert (await tenants[0].http.post(f"/v2/teams/{team}/runs", json={"message": "x"})).json()["code"] == "scope-missing"
    await owner.aclose()


async def test_a_budget_of_a_member_that_is_used_up_is_told_to_the_leader(caller: Caller) -> None:
    member = await caller.agent(model="scripted:echo")
    leader = await scripted(caller, {"tool_calls": [task(member, "x", "c1")]}, {"text": "{tool_result}"})
    budget = {"subject_type": "agent", "subject_id": member, "unit": "tokens", "period": "day", "amount": 1}
    await caller.post("/v2/budgets", budget)
    events = await streamed(caller, await team_of(caller, leader, member))
    assert events[-1].name == "run.completed"
    assert "budget" in json.dumps(events[-1].data).lower()
