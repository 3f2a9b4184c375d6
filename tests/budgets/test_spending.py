"""What chats do to budgets: reserved before a model is asked, settled to the token after it, refused beyond it."""

from __future__ import annotations

import asyncio

import pytest
from tests.budgets.budget_scene import Tenant, body, stands
from tests.budgets.conftest import MakeTenant
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, names, text_of, unique

SCRIPT = {"turns": [{"text": "One two three.", "usage": {"prompt_tokens": 300, "completion_tokens": 200}}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_is_settled_to_the_token_in_every_budget_that_applies(
    scene: Scene, caller: Caller, tenant: Tenant, *, stream: bool
) -> None:
    agent = await caller.agent(model_settings={"max_tokens": 50})
    budgets = [
        await caller.post("/v2/budgets", given)
        for given in (
            body("tenant", tenant.id, 100_000),
            body("key", tenant.key_id, 100_000, period="month"),
            body("user", "ann", 100_000, tenant_id=tenant.id),
            body("agent", agent, 100_000),
            body("agent", agent, 100_000, tenant_id=tenant.id),
        )
    ]
    others = [
        await caller.post("/v2/budgets", given)
        for given in (body("user", "bob", 1, tenant_id=tenant.id), body("user", "ann", 1), body("tenant", unique("t"), 1))
    ]
    if stream:
        async with tenant.caller.stream(agent, "[[n=20]] Hello", user_id="ann") as reader:
            events = await reader.rest()
        assert events[-1].name == "run.completed"
    else:
        await tenant.caller.chat(agent, "[[n=20]] Hello", user_id="ann")
    [asked] = scene.asked("Hello")
    assert asked["body"]["max_tokens" if "max_tokens" in asked["body"] else "max_completion_tokens"] == 50
    total = asked["usage"]["prompt_tokens"] + asked["usage"]["completion_tokens"]
    assert [await stands(caller, budget) for budget in budgets] == [(total, 0)] * 5
    assert [await stands(caller, budget) for budget in others] == [(0, 0)] * 3


async def test_beyond_it_is_429_with_the_reset_and_then_no_run(caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 1000))
    await tenant.caller.chat(agent, "first")
    assert await stands(caller, budget) == (500, 0)
    await caller.patch(f"/v2/budgets/{budget['id']}", {"amount": 570})
    for attempt in range(2):
        refused = await tenant.caller.try_chat(agent, "second")
        assert refused.status_code == 429, refused.text
        problem = refused.json()
        assert problem["code"] == "budget-exhausted"
        assert problem["resets_at"] == budget["resets_at"]
        assert problem["budget"]["id"] == budget["id"]
        assert int(refused.headers["retry-after"]) > 1
        # The first time the database was asked, and the run that had been opened for it failed; then it is known beforehand.
        assert ("run_id" in problem) == (attempt == 0)
    assert await stands(caller, budget) == (500, 0)
    await caller.patch(f"/v2/budgets/{budget['id']}", {"amount": 1200})
    await tenant.caller.chat(agent, "third")
    assert await stands(caller, budget) == (1000, 0)


async def test_a_stream_is_cut_where_its_budget_ends(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent()
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 600))
    async with tenant.caller.stream(agent, "[[n=2000;itl=2]] long") as reader:
        events = await reader.rest()
    assert events[-1].name == "run.failed"
    error = events[-1].data["error"]
    assert error["code"] == "budget-exhausted"
    assert error["resets_at"] == budget["resets_at"]
    assert len(text_of(events)) > 100
    spent, reserved = await stands(caller, budget)
    assert reserved == 0
    assert 300 < spent <= 600
    [row] = await scene.usage_of(reader.run_id)
    assert row["is_estimated"] is True
    assert row["prompt_tokens"] + row["completion_tokens"] == spent


async def test_an_answer_that_ends_where_the_budget_does_is_no_answer(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent()
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 600))
    refused = await tenant.caller.try_chat(agent, "[[n=30;finish=length]] short")
    assert (refused.status_code, refused.json()["code"]) == (429, "budget-exhausted")
    [asked] = scene.asked("short")
    assert await stands(caller, budget) == (asked["usage"]["prompt_tokens"] + 30, 0)


async def test_costs_are_counted_in_dollars_and_what_has_no_price_is_refused(caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model_settings={"max_tokens": 50})
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 1, unit="cost"))
    answer = await tenant.caller.chat(agent, "[[n=20]] Hello")
    spent, reserved = await stands(caller, budget)
    assert reserved == 0
    assert spent == pytest.approx(answer["usage"]["cost"], abs=1e-9)
    assert spent > 0
    unpriced = await tenant.caller.try_chat(agent, "Hello", model="vllm:llama")
    assert (unpriced.status_code, unpriced.json()["code"]) == (422, "budget-unpriced")
    free = await caller.agent(model="scripted:echo")
    await caller.patch(f"/v2/budgets/{budget['id']}", {"amount": 0.000001})
    assert (await tenant.caller.try_chat(agent, "Hello")).status_code == 429
    # What costs nothing goes on, although more is spent by now than the budget has.
    await tenant.caller.chat(free, "Hello")
    assert (await stands(caller, budget))[0] == spent


async def test_a_rotated_key_shares_the_budget_of_its_predecessor(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    budget = await caller.post("/v2/budgets", body("key", tenant.key_id, 10_000))
    successor = await caller.post(f"/v2/keys/{tenant.key_id}/rotate", {})
    renewed = Caller(scene.url, successor["api_key"])
    try:
        await renewed.chat(agent, "as the successor")
        await tenant.caller.chat(agent, "as the predecessor")
    finally:
        await renewed.aclose()
    assert await stands(caller, budget) == (1000, 0)


async def test_parallel_chats_never_go_over_and_what_they_hold_is_told_apart(scene: Scene, caller: Caller, make_tenant: MakeTenant) -> None:
    tenant = await make_tenant()
    agent = await caller.agent(model_settings={"max_tokens": 30})
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 1500))
    answers = await asyncio.gather(*(tenant.caller.try_chat(agent, "[[n=20;ttft=300]] crowd") for _ in range(20)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert good
    assert all(answer.status_code in {200, 429} for answer in answers)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert {answer.headers["retry-after"] for answer in refused if "under way" in answer.json()["detail"]} == {"1"}
    spent, reserved = await stands(caller, budget)
    assert (spent, reserved) == (sum(answer.json()["usage"]["total_tokens"] for answer in good), 0)
    assert spent <= 1500
    assert len(scene.asked("crowd")) == len(good)


async def test_a_cancelled_run_gives_back_what_it_holds(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model_settings={"max_tokens": 1000})
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 5000))
    async with tenant.caller.stream(agent, "[[n=500;itl=20]] slow") as reader:
        await reader.until("message.delta")
        assert (await stands(caller, budget))[1] > 1000
        await tenant.caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
        events = await reader.rest()
    assert names(events)[-1] == "run.cancelled"
    [row] = await scene.usage_of(reader.run_id)
    assert await stands(caller, budget) == (row["prompt_tokens"] + row["completion_tokens"], 0)
