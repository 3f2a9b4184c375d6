"""Windows that end: begun anew by the clock alone, and with calls under way that began in the one before."""

from __future__ import annotations

import asyncio

from tests.budgets.budget_scene import Tenant, body, holds, stands, yesterday
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller

SCRIPT = {"turns": [{"text": "One two three.", "usage": {"prompt_tokens": 300, "completion_tokens": 200}}]}


async def test_a_window_that_has_ended_is_begun_anew(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 800))
    await tenant.caller.chat(agent, "today")
    assert (await tenant.caller.try_chat(agent, "again")).status_code == 429
    await yesterday(scene, budget)
    now = await caller.get(f"/v2/budgets/{budget['id']}")
    assert (now["spent"], now["remaining"], now["resets_at"]) == (0, 800, budget["resets_at"])
    # What this process was told of the window of today holds to its end, so that another tells: a new version is read.
    await caller.patch(f"/v2/budgets/{budget['id']}", {"name": "tomorrow"})
    await tenant.caller.chat(agent, "tomorrow")
    assert await stands(caller, budget) == (500, 0)


async def test_a_call_that_passes_midnight_counts_for_the_day_on_which_it_ends(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model_settings={"max_tokens": 50})
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 10_000))
    evening = (await tenant.caller.chat(agent, "[[n=20]] evening"))["usage"]["total_tokens"]
    turn = asyncio.create_task(tenant.caller.chat(agent, "[[n=20;ttft=500]] midnight"))
    held = await holds(caller, budget)
    assert await stands(caller, budget) == (evening, held)
    await yesterday(scene, budget)
    assert await stands(caller, budget) == (0, held)
    midnight = (await turn)["usage"]["total_tokens"]
    assert await stands(caller, budget) == (midnight, 0)
    now = await caller.get(f"/v2/budgets/{budget['id']}")
    assert (now["window_started_at"], now["resets_at"]) == (budget["window_started_at"], budget["resets_at"])


async def test_what_is_held_passes_over_into_the_window_that_another_call_begins(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model_settings={"max_tokens": 50})
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 10_000))
    slow = asyncio.create_task(tenant.caller.chat(agent, "[[n=20;ttft=1500]] slow"))
    held = await holds(caller, budget)
    await yesterday(scene, budget)
    morning = (await tenant.caller.chat(agent, "[[n=20]] morning"))["usage"]["total_tokens"]
    assert await stands(caller, budget) == (morning, held)
    await caller.patch(f"/v2/budgets/{budget['id']}", {"amount": morning + held + 20})
    refused = await tenant.caller.try_chat(agent, "[[n=20]] one more")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert await stands(caller, budget) == (morning, held)
    night = (await slow)["usage"]["total_tokens"]
    assert await stands(caller, budget) == (morning + night, 0)
