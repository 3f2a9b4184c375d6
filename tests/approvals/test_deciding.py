"""Decisions: the first one counts, by whom they may be made, what may be edited, and what time decides."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.approvals.approval_scene import ASKS, Office, opened_office, remember
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return answer.json()


async def test_of_two_decisions_at_once_one_counts_and_the_other_is_shown_it(office: Office, elsewhere: Caller) -> None:
    for _ in range(10):
        asked = await office.asked("both")
        path = f"/v2/approvals/{asked['id']}"
        answers = await asyncio.gather(office.boss.http.post(f"{path}/approve"), elsewhere.http.post(f"{path}/deny"))
        winner, loser = sorted(answers, key=lambda answer: answer.status_code)
        first = winner.json()
        assert problem(loser, 409, "approval-decided")["approval"] == first
        await office.ended(asked["run_id"])
        heard = await office.heard(asked["run_id"])
        assert ("denied" in heard[0]) == (first["status"] == "denied")
        assert len([entry for entry in await office.audited(asked["id"]) if entry[0] != "approval.requested"]) == 1


async def test_a_second_decision_is_refused_with_the_first_one_inside_also_when_it_is_the_same(office: Office) -> None:
    asked = await office.asked()
    first = await office.boss.post(f"/v2/approvals/{asked['id']}/approve", {"note": "yes"})
    for verb in ("approve", "deny"):
        late = problem(await office.boss.http.post(f"/v2/approvals/{asked['id']}/{verb}"), 409, "approval-decided")
        assert late["approval"] == first
        assert "boss" in late["detail"]


async def test_the_key_that_asked_may_not_decide_nor_may_its_successor_unless_it_is_an_admin(office: Office) -> None:
    asked = await office.asked()
    path = f"/v2/approvals/{asked['id']}/approve"
    problem(await office.worker.http.post(path), 403, "approval-own-run")
    (row,) = await office.scene.fetch("SELECT key_id FROM runs WHERE id = $1", asked["run_id"])
    rotated = await office.operator.post(f"/v2/keys/{row['key_id']}/rotate", {"overlap_seconds": 60})
    successor = Caller(office.scene.url, rotated["api_key"])
    problem(await successor.http.post(path), 403, "approval-own-run")
    await successor.aclose()
    assert await office.facts() == []
    answer = await office.operator.chat(await office.agent(remember("by an admin")), "x", user_id="ann")
    await office.operator.post(f"/v2/approvals/{answer['approvals'][0]['id']}/approve", {})
    assert (await office.operator.ended(answer["run_id"]))["status"] == "completed"


async def test_another_tenants_approval_does_not_exist(scene: Scene, caller: Caller, office: Office) -> None:
    asked = await office.asked()
    async with opened_office(scene, caller) as other:
        for verb in ("approve", "deny"):
            problem(await other.boss.http.post(f"/v2/approvals/{asked['id']}/{verb}"), 404, "approval-not-found")
        problem(await other.boss.http.get(f"/v2/approvals/{asked['id']}"), 404, "approval-not-found")
        assert (await other.boss.get("/v2/approvals"))["items"] == []
    assert (await office.boss.get(f"/v2/approvals/{asked['id']}"))["status"] == "pending"


async def test_edited_arguments_have_to_fit_the_tool_and_the_permissions(office: Office) -> None:
    worker = {"permissions": {"ask": ["memory"], "deny": ["memory(*whisky*)"]}}
    agent = await office.agent(remember("tea"), worker_config=worker)
    (asked,) = (await office.paused(agent))["approvals"]
    path = f"/v2/approvals/{asked['id']}/approve"
    wrong = problem(await office.boss.http.post(path, json={"args": {"action": "burn", "more": 1}}), 422, "invalid-request")
    assert {error["pointer"] for error in wrong["errors"]} == {"/args/action", "/args"}
    denied = {"args": {"action": "remember", "content": "Ann likes whisky"}}
    assert "whisky" in problem(await office.boss.http.post(path, json=denied), 422, "approval-args-denied")["detail"]
    problem(await office.boss.http.post(f"/v2/approvals/{asked['id']}/deny", json={"args": {}}), 422, "invalid-request")
    problem(await office.boss.http.post(path, json={"nota": "x"}), 422, "invalid-request")
    assert (await office.boss.get(f"/v2/approvals/{asked['id']}"))["status"] == "pending"
    same = await office.boss.post(path, {"args": asked["tool_args"]})
    assert same["edited_args"] is None


async def test_what_nobody_decides_in_time_is_denied_and_the_model_hears_so(office: Office, elsewhere: Caller) -> None:
    asked = await office.asked()
    await office.scene.fetch("UPDATE approvals SET expires_at = clock_timestamp() WHERE id = $1", asked["id"])
    late = problem(await elsewhere.http.post(f"/v2/approvals/{asked['id']}/approve"), 409, "approval-decided")
    assert late["approval"]["status"] == "expired"
    run = await office.ended(asked["run_id"])
    assert run["status"] == "completed"
    assert await office.heard(asked["run_id"]) == ["The call was not made: nobody approved it in time."]
    assert await office.facts() == []
    read = await office.boss.get(f"/v2/approvals/{asked['id']}")
    assert (read["status"], read["decided_by"]) == ("expired", "system")
    assert [entry[0] for entry in await office.audited(asked["id"])] == ["approval.requested", "approval.expired"]


async def test_approvals_are_listed_newest_first_and_filtered(office: Office) -> None:
    made = [await office.asked(f"fact {number}") for number in range(3)]
    await office.boss.post(f"/v2/approvals/{made[1]['id']}/deny", {})

    async def ids(**query: object) -> list[str]:
        return [item["id"] for item in (await office.boss.get("/v2/approvals", **query))["items"]]

    assert await ids() == [one["id"] for one in reversed(made)]
    assert await ids(status="denied") == [made[1]["id"]]
    assert await ids(status="pending") == [made[2]["id"], made[0]["id"]]
    assert await ids(run_id=made[0]["run_id"]) == [made[0]["id"]]
    assert await ids(job_id="00000000-0000-0000-0000-000000000000") == []
    page = await office.boss.get("/v2/approvals", limit=2)
    assert [item["id"] for item in (await office.boss.get("/v2/approvals", limit=2, cursor=page["next_cursor"]))["items"]] == [
        made[0]["id"]
    ]
    for query in ({"status": "odd"}, {"job_id": "odd"}, {"limit": "0"}):
        assert (await office.boss.http.get("/v2/approvals", params=query)).status_code == 422


@pytest.mark.parametrize("approval_id", ["nonsense", "apr_", "a" * 300, "%F0%9F%98%80"])
async def test_an_id_that_is_none_is_not_found(office: Office, approval_id: str) -> None:
    for method, verb in (("GET", ""), ("POST", "/approve"), ("POST", "/deny")):
        answer = await office.boss.http.request(method, f"/v2/approvals/{approval_id}{verb}")
        assert answer.status_code == 404, answer.text


async def test_arguments_that_are_no_json_are_told_to_the_model_and_ask_nobody(office: Office) -> None:
    agent = await office.operator.agent(worker_config=ASKS)
    answer = await office.worker.chat(agent, "x [[tool=memory;args={remember}]]", user_id="ann")
    assert answer["status"] == "completed"
    assert await office.heard(answer["run_id"]) == ["The arguments are not a JSON object."]


@pytest.mark.parametrize("content", ["a\\u0000b", "\N{GRINNING FACE} \N{RIGHT-TO-LEFT OVERRIDE}", "x" * 3000, "<script>alert(1)</script>"])
async def test_odd_arguments_are_shown_and_used_as_they_are(office: Office, content: str) -> None:
    agent = await office.operator.agent(worker_config=ASKS)
    args = '{"action": "remember", "content": "' + content + '"}'
    answer = await office.worker.chat(agent, f"x [[tool=memory;args={args}]]", user_id="ann")
    (asked,) = answer["approvals"]
    assert asked["tool_args"] == json.loads(args)
    await office.boss.post(f"/v2/approvals/{asked['id']}/approve", {})
    assert (await office.ended(answer["run_id"]))["status"] == "completed"
    assert len(await office.heard(answer["run_id"])) == 1
