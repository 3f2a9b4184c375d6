"""A budget in cost and a call that has a fallback: each model has its share of what is reserved, and both are counted."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.budgets.budget_scene import Tenant, body, holds, stands
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, unique

from pointsman.llm.port import Usage
from pointsman.usage.cost import cost_of

FIRST, SECOND = "openai:gpt-4o", "anthropic:claude-sonnet-4-5"
MOST = 400


def cost(prompt: int, completion: int) -> float:
    """Of both models together."""
    prices = [cost_of(model, Usage(prompt, completion)) for model in (FIRST, SECOND)]
    return float(sum((price for price in prices if price is not None), Decimal(0)))


async def agent_of(caller: Caller, *fallbacks: str) -> str:
    return await caller.agent(model=FIRST, model_fallbacks=list(fallbacks), model_settings={"max_tokens": MOST})


def cap(entry: dict[str, Any]) -> int:
    """How many tokens a model was told to answer with at most."""
    return entry["body"].get("max_tokens") or entry["body"]["max_completion_tokens"]


async def test_what_a_failed_model_and_its_fallback_cost_is_spent_of_what_was_held_for_both(
    scene: Scene, caller: Caller, tenant: Tenant
) -> None:
    agent = await agent_of(caller, SECOND)
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 1, unit="cost"))
    word = unique("fallback")
    async with tenant.caller.stream(agent, f"{word} [[n=30 ttft=500 itl=2 fault=reset;after=10;fail_times=1]]") as reader:
        held = await holds(caller, budget)
        events = await reader.rest()
    assert events[-1].name == "run.completed"
    rows = await scene.fetch(
        """
        SELECT t.model, t.is_estimated, d.cost
        FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE d.run_id = $1 ORDER BY d.call
        """,
        reader.run_id,
    )
    assert [(row["model"], row["is_estimated"]) for row in rows] == [(FIRST, True), (SECOND, False)]
    spent = float(sum(row["cost"] for row in rows))
    assert await stands(caller, budget) == (pytest.approx(spent, abs=2e-9), 0)
    assert held > cost(0, MOST)
    assert 0 < spent < held


async def test_where_less_is_left_both_models_are_told_to_say_less(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await agent_of(caller, SECOND)
    amount = round(cost(0, MOST) / 2, 6)
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, amount, unit="cost"))
    word = unique("less")
    turn = asyncio.create_task(tenant.caller.chat(agent, f"{word} [[n=20 ttft=500 fault=400;fail_times=1]]"))
    held = await holds(caller, budget)
    assert 0.98 * amount < held <= amount
    answer = await turn
    first, second = scene.asked(word)
    assert (first["status"], second["status"]) == (400, 200)
    assert 16 <= cap(first) == cap(second) < MOST
    assert cost(second["usage"]["prompt_tokens"], cap(second)) <= amount
    assert await stands(caller, budget) == (pytest.approx(answer["usage"]["cost"], abs=2e-9), 0)


async def test_a_fallback_without_a_price_is_refused_before_anything_is_asked(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await agent_of(caller, "vllm:llama")
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 1, unit="cost"))
    word = unique("unpriced")
    refused = await tenant.caller.try_chat(agent, word)
    assert (refused.status_code, refused.json()["code"]) == (422, "budget-unpriced")
    assert (scene.asked(word), await stands(caller, budget)) == ([], (0, 0))
