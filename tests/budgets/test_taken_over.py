"""What a run holds of its budgets tells whether a model was being asked when its replica died."""

from __future__ import annotations

from tests.budgets.budget_scene import Tenant, body
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller

from pointsman.budgets.settling import never_reserved
from pointsman.kit.db import connect

SCRIPT = {"turns": [{"text": "Hello."}]}


async def test_a_run_that_holds_nothing_of_a_budget_it_always_had_was_not_asking(scene: Scene, caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent(model="scripted:script", script=SCRIPT)
    budget = await caller.post("/v2/budgets", body("tenant", tenant.id, 10_000))
    run_id = (await tenant.caller.chat(agent, "hi"))["run_id"]
    (row,) = await scene.fetch("SELECT number FROM budgets WHERE id = $1", budget["id"])

    async def told(*numbers: int) -> bool:
        connection = await connect(scene.dsn)
        try:
            return await never_reserved(connection, run_id, numbers)
        finally:
            await connection.close()

    assert not await told(row["number"]), "a budget that new may not have been known to whoever asked"
    await scene.fetch("UPDATE budgets SET updated_at = updated_at - interval '1 minute' WHERE number = $1", row["number"])
    assert await told(row["number"])
    assert not await told(), "without a budget nobody reserves"
    await scene.fetch("INSERT INTO budget_reservations VALUES ($1, 1, 1, $2, 100)", run_id, row["number"])
    assert not await told(row["number"])
    await scene.fetch("DELETE FROM budget_reservations WHERE run_id = $1", run_id)
