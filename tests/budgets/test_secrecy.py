"""A tenant that is refused by an operator's budget of everybody's use learns that it is used up and until when, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.budgets.budget_scene import Tenant, body, stands
from tests.budgets.conftest import MakeTenant
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller

PROMPT, COMPLETION = 1_262_139_847, 522_598_316  # no other number has these digits
AMOUNT = PROMPT + COMPLETION + 61  # too little for any call is left
SCRIPT = {"turns": [{"text": "One two three.", "usage": {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION}}]}
TOLD = {"type", "title", "status", "code", "detail", "hint", "request_id", "resets_at", "budget", "retry_after", "instance"}


def assert_nothing_of_others(text: str, budget: dict[str, Any], others: Tenant) -> None:
    for secret in (budget["id"], budget["name"], others.id, *map(str, (AMOUNT, PROMPT + COMPLETION, PROMPT, COMPLETION))):
        assert secret not in text


async def test_a_refusal_by_a_budget_of_all_tenants_names_neither_it_nor_its_amounts_nor_who_spent_them(
    scene: Scene, caller: Caller, make_tenant: MakeTenant
) -> None:
    spender, refused = await make_tenant(), await make_tenant()
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    budget = await caller.post("/v2/budgets", body("agent", agent, AMOUNT, name="Everybody's share"))
    await spender.caller.chat(agent, "mine", user_id="ann")
    assert await stands(caller, budget) == (PROMPT + COMPLETION, 0)

    async with refused.caller.stream(agent, "as a run") as reader:
        events = await reader.rest()
    assert (events[-1].name, events[-1].data["error"]["code"]) == ("run.failed", "budget-exhausted")
    run = await refused.caller.http.get(f"/v2/runs/{reader.run_id}")
    answer = await refused.caller.try_chat(agent, "before it is one")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["resets_at"]) == (429, "budget-exhausted", budget["resets_at"])
    assert set(problem) <= TOLD
    shown = {"subject_type": "agent", "subject_id": agent, "unit": "tokens", "period": "day"}
    assert problem["budget"] == events[-1].data["error"]["budget"] == run.json()["error"]["budget"] == shown

    path = f"/v2/budgets/{budget['id']}"
    unseen = [await refused.caller.http.request(method, path, json={}) for method in ("GET", "PATCH", "DELETE")]
    assert {one.json()["code"] for one in unseen} == {"budget-not-found"}
    listed = await refused.caller.http.get("/v2/budgets", params={"include_inactive": True})
    assert listed.json()["items"] == []

    told = [event.raw.decode() for event in events] + [one.text for one in (run, answer, listed)] + [str(dict(answer.headers))]
    assert_nothing_of_others("\n".join(told), budget, spender)
    assert await scene.fetch("SELECT FROM budget_reservations WHERE run_id = $1", reader.run_id) == []


async def test_of_its_own_budget_a_tenant_is_told_the_id(caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    of_everybody = await caller.post("/v2/budgets", body("agent", agent, 10**10))
    own = await caller.post("/v2/budgets", body("agent", agent, 0, tenant_id=tenant.id))
    refused = await tenant.caller.try_chat(agent, "no")
    assert refused.json()["budget"]["id"] == own["id"]
    assert of_everybody["id"] not in refused.text
