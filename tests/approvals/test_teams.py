"""A member whose tool needs an approval: its team's run waits with it, and both go on from the decision."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.approvals.approval_scene import ASKS, Office, remember
from tests.chat.team_scene import scripted, streaming, task, team_of, try_run
from tests.e2e.calling import Caller, names


async def careful(office: Office, fact: str = "Ann likes tea.") -> str:
    """A member that asks before it remembers."""
    return await office.agent(remember(fact), end="Noted: {tool_result}")


async def paused(caller: Caller, team: str, **body: Any) -> dict[str, Any]:
    answer = (await try_run(caller, team, user_id="ann", **body)).json()
    assert answer["status"] == "paused", answer
    return answer


async def led(office: Office, *calls: dict[str, Any], **config: Any) -> str:
    return await scripted(office.operator, {"text": "One moment. ", "tool_calls": list(calls)}, {"text": "Heard: {tool_result}"}, **config)


async def test_the_run_waits_with_its_member_and_goes_on_when_it_is_approved(office: Office) -> None:
    member, other = await careful(office), await office.operator.agent(model="scripted:echo")
    team = await team_of(office.operator, await led(office, task(member, "x", "c1"), task(other, "fine", "c2")), member, other)
    answer = await paused(office.operator, team)
    (asked,) = answer["approvals"]
    assert (answer["content"], asked["tool_name"], asked["status"]) == ("One moment. ", "memory", "pending")
    (child,) = (await office.operator.get("/v2/runs", parent_run_id=answer["run_id"], status="paused"))["items"]
    assert (child["subject"], asked["run_id"]) == (member, child["id"])
    rows = await office.scene.fetch("SELECT replica FROM runs WHERE id = ANY($1)", [answer["run_id"], child["id"]])
    assert {row["replica"] for row in rows} == {None}
    listed = (await office.operator.get("/v2/approvals", run_id=answer["run_id"]))["items"]
    assert [approval["id"] for approval in listed] == [asked["id"]]
    await office.operator.post(f"/v2/approvals/{asked['id']}/approve", {})
    ended = await office.operator.ended(answer["run_id"])
    assert ended["status"] == "completed"
    assert ended["content"].startswith("Heard: Noted: ")
    assert ended["content"].endswith("\nfine")
    assert len((await office.operator.get("/v2/runs", parent_run_id=answer["run_id"]))["items"]) == 2


async def test_a_denial_reaches_the_member_and_its_answer_the_leader(office: Office) -> None:
    member = await careful(office)
    answer = await paused(office.operator, await team_of(office.operator, await led(office, task(member, "x", "c1")), member))
    await office.operator.post(f"/v2/approvals/{answer['approvals'][0]['id']}/deny", {"note": "No."})
    ended = await office.operator.ended(answer["run_id"])
    assert (ended["status"], "a person denied it and said: No." in ended["content"]) == ("completed", True)


async def test_the_stream_of_the_run_tells_what_is_asked_and_goes_on_without_a_gap(office: Office) -> None:
    member = await careful(office)
    team = await team_of(office.operator, await led(office, task(member, "x", "c1")), member)
    async with asyncio.timeout(20), streaming(office.operator, team, user_id="ann") as reader:
        first = await reader.until("approval.requested")
        assert first[-1].data["member"] == member
        await office.operator.post(f"/v2/approvals/{first[-1].data['id']}/approve", {})
        events = first + await reader.rest()
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    assert names(events)[-1] == "run.completed"
    assert names(events).count("approval.requested") == names(events).count("approval.decided") == 1
    assert "message.reset" not in names(events)


async def test_members_that_ask_at_once_are_decided_one_by_one(office: Office) -> None:
    members = [await careful(office, fact) for fact in ("a", "b")]
    calls = [task(member, "x", f"c{number}") for number, member in enumerate(members)]
    answer = await paused(office.operator, await team_of(office.operator, await led(office, *calls), *members))
    assert len(answer["approvals"]) == 2
    for number, approval in enumerate(answer["approvals"]):
        await office.operator.post(f"/v2/approvals/{approval['id']}/approve", {})
        if not number:
            async with asyncio.timeout(10):  # the run goes on with the first member, and waits for the second again
                while (await office.operator.get(f"/v2/runs/{approval['run_id']}"))["status"] != "completed":
                    await asyncio.sleep(0.02)
    ended = await office.operator.ended(answer["run_id"])
    assert (ended["status"], ended["content"].count("Noted")) == ("completed", 2)


async def test_two_tasks_of_a_member_that_asks_wait_for_one_decision_each(office: Office) -> None:
    turns = [{"tool_calls": [remember("a")]}, {"text": "first"}, {"tool_calls": [remember("b")]}, {"text": "second"}]
    member = await office.operator.agent(model="scripted:play", script={"turns": turns}, worker_config=ASKS)
    calls = [task(member, "x", "c1"), task(member, "y", "c2")]
    answer = await paused(office.operator, await team_of(office.operator, await led(office, *calls), member))
    run_id, decided = answer["run_id"], set[str]()
    async with asyncio.timeout(20):
        while (await office.operator.get(f"/v2/runs/{run_id}"))["status"] not in {"completed", "failed"}:
            for approval in (await office.operator.get("/v2/approvals", run_id=run_id, status="pending"))["items"]:
                await office.operator.post(f"/v2/approvals/{approval['id']}/approve", {})
                decided.add(approval["id"])
            await asyncio.sleep(0.02)
    assert len(decided) == 2
    assert (await office.operator.get(f"/v2/runs/{run_id}"))["content"] == "Heard: first\nsecond"


async def test_a_waiting_run_is_cancelled_with_its_member(office: Office) -> None:
    member = await careful(office)
    answer = await paused(office.operator, await team_of(office.operator, await led(office, task(member, "x", "c1")), member))
    cancelled = await office.operator.post(f"/v2/runs/{answer['run_id']}/cancel", {})
    assert cancelled["status"] == "cancelled"
    (child,) = (await office.operator.get("/v2/runs", parent_run_id=answer["run_id"]))["items"]
    assert child["status"] == "cancelled"
    assert (await office.operator.get(f"/v2/approvals/{answer['approvals'][0]['id']}"))["status"] == "cancelled"


async def test_a_member_that_is_cancelled_while_it_waits_is_told_to_the_leader(office: Office) -> None:
    member = await careful(office)
    answer = await paused(office.operator, await team_of(office.operator, await led(office, task(member, "x", "c1")), member))
    await office.operator.post(f"/v2/runs/{answer['approvals'][0]['run_id']}/cancel", {})
    ended = await office.operator.ended(answer["run_id"])
    assert (ended["status"], "was cancelled" in ended["content"]) == ("completed", True)


async def test_a_run_is_resumed_with_decisions_about_its_members(office: Office) -> None:
    member = await careful(office)
    answer = await paused(office.operator, await team_of(office.operator, await led(office, task(member, "x", "c1")), member))
    decision = {"id": answer["approvals"][0]["id"], "decision": "approve"}
    await office.operator.post(f"/v2/runs/{answer['run_id']}/resume", {"approvals": [decision]})
    assert (await office.operator.ended(answer["run_id"]))["status"] == "completed"


async def test_a_delegation_itself_may_have_to_be_approved(office: Office) -> None:
    member = await office.operator.agent(model="scripted:echo")
    asks = {"permissions": {"ask": [f"delegate_to_{member}"]}}
    team = await team_of(office.operator, await led(office, task(member, "write", "c1"), worker_config=asks), member)
    answer = await paused(office.operator, team)
    assert (await office.operator.get("/v2/runs", parent_run_id=answer["run_id"]))["items"] == []
    await office.operator.post(f"/v2/approvals/{answer['approvals'][0]['id']}/approve", {})
    assert (await office.operator.ended(answer["run_id"]))["content"] == "Heard: write"
