"""A chat whose tool needs an approval: it pauses, holds nothing, and goes on from the decision, on whichever replica."""

from __future__ import annotations

import asyncio
import hashlib
import json

from tests.approvals.approval_scene import Office, remember
from tests.e2e.calling import Caller, answer_of, names, unique


async def test_a_run_that_asks_is_paused_and_nothing_has_happened(office: Office) -> None:
    answer = await office.paused(await office.agent(remember("Ann likes tea.")))
    assert answer["content"] == "One moment. "
    (asked,) = answer["approvals"]
    args = {"action": "remember", "content": "Ann likes tea."}
    assert (asked["tool_name"], asked["tool_args"], asked["status"], asked["call_id"]) == ("memory", args, "pending", "c1")
    canonical = json.dumps(args, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert asked["args_sha256"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert "memory(remember *)" in asked["reason"]
    run = await office.worker.get(f"/v2/runs/{answer['run_id']}")
    assert (run["status"], run["completed_at"]) == ("paused", None)
    (row,) = await office.scene.fetch("SELECT replica FROM runs WHERE id = $1", answer["run_id"])
    assert row["replica"] is None
    assert await office.facts() == []


async def test_an_approved_call_is_made_once_and_the_run_ends(office: Office) -> None:
    asked = await office.asked()
    decided = await office.boss.post(f"/v2/approvals/{asked['id']}/approve", {"note": "Fine."})
    assert (decided["status"], decided["decided_by"], decided["note"]) == ("approved", "boss", "Fine.")
    run = await office.ended(asked["run_id"])
    assert (run["status"], run["content"]) == ("completed", "Done.")
    assert await office.facts() == ["Ann likes tea."]
    assert [action for action, _, _ in await office.audited(asked["id"])] == ["approval.requested", "approval.approved"]


async def test_a_denied_call_is_not_made_and_the_model_hears_why(office: Office) -> None:
    asked = await office.asked()
    await office.boss.post(f"/v2/approvals/{asked['id']}/deny", {"note": "She drinks coffee."})
    run = await office.ended(asked["run_id"])
    assert (run["status"], run["content"]) == ("completed", "Done.")
    assert await office.heard(asked["run_id"]) == ["The call was not made: a person denied it and said: She drinks coffee."]
    assert await office.facts() == []


async def test_edited_arguments_are_used_in_place_of_those_that_were_asked_for(office: Office) -> None:
    asked = await office.asked()
    edited = {"action": "remember", "content": "Ann likes coffee."}
    decided = await office.boss.post(f"/v2/approvals/{asked['id']}/approve", {"args": edited})
    assert (decided["tool_args"], decided["edited_args"]) == (asked["tool_args"], edited)
    await office.ended(asked["run_id"])
    assert await office.facts() == ["Ann likes coffee."]
    assert "A person changed the arguments" in (await office.heard(asked["run_id"]))[0]
    _, (action, actor, detail) = await office.audited(asked["id"])
    assert (action, actor, detail["args_sha256"]) == ("approval.approved", "boss", asked["args_sha256"])
    assert detail["edited_sha256"] != asked["args_sha256"]


async def test_the_other_calls_of_the_answer_are_made_and_recorded_before_the_pause(office: Office) -> None:
    clock = {"name": "current_time", "args": {}, "id": "c2"}
    agent = await office.agent(remember("x"), clock, remember("y", "c3"), tools=[{"type": "builtin", "name": "current_time"}])
    answer = await office.paused(agent)
    assert [asked["call_id"] for asked in answer["approvals"]] == ["c1", "c3"]
    assert len(await office.heard(answer["run_id"])) == 1
    first, second = answer["approvals"]
    await office.boss.post(f"/v2/approvals/{second['id']}/deny", {})
    assert (await office.worker.get(f"/v2/runs/{answer['run_id']}"))["status"] == "paused"
    await office.boss.post(f"/v2/approvals/{first['id']}/approve", {})
    assert (await office.ended(answer["run_id"]))["status"] == "completed"
    assert await office.facts() == ["x"]
    assert len(await office.heard(answer["run_id"])) == 3


async def test_a_stream_stays_and_goes_on_after_the_decision_without_a_gap(office: Office) -> None:
    agent = await office.agent(remember("Ann likes tea."))
    async with asyncio.timeout(20), office.worker.stream(agent, "Please.", user_id="ann", stream_verbosity="full") as reader:
        first = await reader.until("approval.requested")
        await office.boss.post(f"/v2/approvals/{first[-1].data['id']}/approve", {})
        events = first + await reader.rest()
    assert names(events)[-6:] == [
        "approval.decided",
        "tool.completed",
        "message.delta",
        "message.completed",
        "usage.recorded",
        "run.completed",
    ]
    assert "message.reset" not in names(events)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    decided = next(event.data for event in events if event.name == "approval.decided")
    assert (decided["status"], decided["decided_by"]) == ("approved", "boss")
    assert answer_of(events)["status"] == "completed"
    assert [event.raw for event in await office.worker.replay(reader.run_id, verbosity="full")] == [event.raw for event in events]


async def test_another_replica_decides_and_any_goes_on(office: Office, elsewhere: Caller) -> None:
    for _ in range(3):
        fact = unique("fact")
        asked = await office.asked(fact)
        await elsewhere.post(f"/v2/approvals/{asked['id']}/approve", {})
        assert (await office.ended(asked["run_id"]))["status"] == "completed"
        assert fact in await office.facts()


async def test_many_pauses_are_no_redrives(office: Office) -> None:
    turns = [{"tool_calls": [remember(f"fact {number}", "same")]} for number in range(8)]
    script = {"turns": [*turns, {"text": "All done."}]}
    worker = {"permissions": {"ask": ["memory"]}}
    agent = await office.operator.agent(model="scripted:play", script=script, worker_config=worker)
    run_id = (await office.paused(agent))["run_id"]
    for number in range(8):
        async with asyncio.timeout(20):
            while not (waiting := (await office.boss.get("/v2/approvals", run_id=run_id, status="pending"))["items"]):
                await asyncio.sleep(0.02)
        assert waiting[0]["tool_args"]["content"] == f"fact {number}"
        await office.boss.post(f"/v2/approvals/{waiting[0]['id']}/approve", {})
    run = await office.ended(run_id)
    assert (run["status"], run["content"]) == ("completed", "All done.")
    assert await office.facts() == [f"fact {number}" for number in range(8)]
    events = await office.worker.replay(run_id, verbosity="full")
    assert [event.id for event in events] == list(range(1, len(events) + 1))


async def test_a_paused_run_is_cancelled_and_what_it_asked_for_with_it(office: Office) -> None:
    asked = await office.asked()
    run = await office.worker.post(f"/v2/runs/{asked['run_id']}/cancel", {})
    assert run["status"] == "cancelled"
    assert (await office.boss.get(f"/v2/approvals/{asked['id']}"))["status"] == "cancelled"
    late = await office.boss.http.post(f"/v2/approvals/{asked['id']}/approve")
    assert (late.status_code, late.json()["code"], late.json()["approval"]["status"]) == (409, "approval-decided", "cancelled")
    assert await office.facts() == []


async def test_a_session_with_a_paused_turn_says_what_it_waits_for(office: Office) -> None:
    session = unique("session")
    asked = await office.asked(session_id=session)
    agent = await office.agent()
    busy = await office.worker.try_chat(agent, "Me too.", session_id=session, user_id="ann")
    assert (busy.status_code, busy.json()["code"]) == (409, "session-busy")
    assert "decision" in busy.json()["detail"]
    await office.boss.post(f"/v2/approvals/{asked['id']}/deny", {})
    await office.ended(asked["run_id"])
    assert (await office.worker.try_chat(agent, "Me too.", session_id=session, user_id="ann")).status_code == 200


async def test_resume_takes_the_decisions_of_a_paused_run(office: Office) -> None:
    asked = await office.asked()
    path = f"/v2/runs/{asked['run_id']}/resume"
    empty = await office.boss.http.post(path)
    assert (empty.status_code, empty.json()["code"]) == (409, "run-is-paused")
    foreign = await office.boss.http.post(path, json={"approvals": [{"id": (await office.asked())["id"], "decision": "approve"}]})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "approval-not-found")
    run = await office.boss.post(path, {"approvals": [{"id": asked["id"], "decision": "approve"}]})
    assert run["status"] in {"running", "completed"}
    assert (await office.ended(asked["run_id"]))["status"] == "completed"
    assert await office.facts() == ["Ann likes tea."]


async def test_resume_needs_a_key_that_may_decide(office: Office) -> None:
    asked = await office.asked()
    made = await office.operator.post("/v2/keys", {"name": "steerer", "owner_id": office.tenant, "scopes": ["runs:write"]})
    steerer = Caller(office.scene.url, made["api_key"])
    refused = await steerer.http.post(
        f"/v2/runs/{asked['run_id']}/resume", json={"approvals": [{"id": asked["id"], "decision": "approve"}]}
    )
    await steerer.aclose()
    assert (refused.status_code, refused.json()["code"]) == (403, "approval-scope-missing")


async def test_a_repeated_request_gets_the_same_paused_answer_and_no_second_run(office: Office) -> None:
    agent, headers = await office.agent(remember("once")), {"idempotency-key": unique("key")}
    first = await office.worker.try_chat(agent, "Please.", user_id="ann", session_id="s", headers=headers)
    again = await office.worker.try_chat(agent, "Please.", user_id="ann", session_id="s", headers=headers)
    assert first.json()["status"] == "paused"
    assert again.content == first.content
    assert len((await office.boss.get("/v2/approvals", status="pending"))["items"]) == 1


async def test_a_call_that_is_denied_by_the_permissions_is_told_to_the_model(office: Office) -> None:
    worker = {"permissions": {"deny": ["memory(* tea*)"], "ask": ["memory"]}}
    answer = await office.worker.chat(await office.agent(remember("I like tea"), worker_config=worker), "x", user_id="ann")
    assert answer["status"] == "completed"
    (heard,) = await office.heard(answer["run_id"])
    assert "denied" in heard
    assert "memory(* tea*)" in heard
    assert await office.facts() == []


async def test_a_tool_that_is_not_among_the_allowed_ones_is_not_called(office: Office) -> None:
    answer = await office.worker.chat(
        await office.agent(remember("x"), worker_config={"allowed_tools": ["current_time"]}), "x", user_id="ann"
    )
    assert "not among the allowed tools" in (await office.heard(answer["run_id"]))[0]
    assert await office.facts() == []


async def test_an_agent_without_rules_asks_nobody(office: Office) -> None:
    answer = await office.worker.chat(await office.agent(remember("x"), worker_config={}), "x", user_id="ann")
    assert (answer["status"], answer["approvals"]) == ("completed", [])
    assert await office.facts() == ["x"]
