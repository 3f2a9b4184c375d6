"""Budgets as data, over HTTP: made, read, changed, deleted and made again; by whom, and what a typo is told."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.budgets.budget_scene import Tenant, body
from tests.budgets.conftest import MakeTenant
from tests.e2e.calling import Caller, unique

READ = {
    *("id", "name", "subject_type", "subject_id", "unit", "period", "amount", "spent", "reserved", "remaining"),
    *("window_started_at", "resets_at", "tenant_id", "by_operator", "is_active", "created_at", "updated_at"),
}


async def test_a_budget_is_made_read_changed_deleted_and_comes_back(caller: Caller) -> None:
    given = body("tenant", unique("t"), 1000, name="Ours")
    made = await caller.post("/v2/budgets", given)
    assert set(made) == READ
    assert {name: made[name] for name in given} == given
    assert (made["spent"], made["reserved"], made["remaining"], made["tenant_id"]) == (0, 0, 1000, given["subject_id"])
    path = f"/v2/budgets/{made['id']}"
    assert await caller.get(path) == made

    changed = await caller.patch(path, {"amount": 500, "name": None})
    assert (changed["amount"], changed["remaining"], changed["name"]) == (500, 500, None)
    assert (await caller.patch(path, {}))["updated_at"] == changed["updated_at"]

    for _ in range(2):
        assert (await caller.http.delete(path)).status_code == 204
    assert (await caller.http.get(path)).json()["code"] == "budget-not-found"
    assert (await caller.http.patch(path, json={"amount": 1})).status_code == 404

    again = await caller.post("/v2/budgets", {**given, "amount": 7})
    assert (again["amount"], again["is_active"]) == (7, True)
    assert (await caller.http.post("/v2/budgets", json=given)).json()["code"] == "budget-exists"


async def test_windows_are_days_and_months_in_utc(caller: Caller) -> None:
    day = await caller.post("/v2/budgets", body("tenant", unique("t"), 1))
    month = await caller.post("/v2/budgets", body("tenant", unique("t"), 1, period="month"))
    for budget in (day, month):
        start, end = (dt.datetime.fromisoformat(budget[name]) for name in ("window_started_at", "resets_at"))
        now = dt.datetime.fromisoformat(budget["created_at"])
        first = now.replace(hour=0, minute=0, second=0, microsecond=0, day=now.day if budget is day else 1)
        assert start == first
        assert (
            end == first + dt.timedelta(days=1) if budget is day else (end.day == 1 and end > start and (end - start).days in range(28, 32))
        )


async def test_what_can_be_asked_for_is_listed_by_subject(caller: Caller, tenant: Tenant) -> None:
    agent = await caller.agent()
    made = [
        await caller.post("/v2/budgets", body(kind, subject, amount, **more))
        for kind, subject, amount, more in (
            ("key", tenant.key_id, 5, {}),
            ("tenant", tenant.id, 0.25, {"unit": "cost"}),
            ("user", "ann", 5, {"tenant_id": tenant.id}),
            ("agent", agent, 5, {}),
            ("agent", agent, 5, {"tenant_id": tenant.id}),
        )
    ]
    assert [budget["tenant_id"] for budget in made] == [tenant.id, tenant.id, tenant.id, None, tenant.id]
    assert made[1]["amount"] == 0.25
    listed = await caller.get("/v2/budgets", subject_type="agent", subject_id=agent)
    assert [one["id"] for one in listed["items"]] == [made[4]["id"], made[3]["id"]]
    page = await tenant.caller.get("/v2/budgets", limit=2)
    rest = await tenant.caller.get("/v2/budgets", limit=200, cursor=page["next_cursor"])
    assert [one["id"] for one in page["items"] + rest["items"]] == [made[n]["id"] for n in (4, 2, 1, 0)]


@pytest.mark.parametrize(
    ("wrong", "pointer", "word"),
    [
        ({"subject_typ": "key"}, "/subject_typ", "Did you mean 'subject_type'?"),
        ({"amount": -1}, "/amount", "greater than or equal to 0"),
        ({"amount": "100"}, "/amount", "number"),
        ({"amount": True}, "/amount", "number"),
        ({"amount": 1.5}, "", "whole"),
        ({"unit": "cost", "amount": 0.0000000001}, "/amount", "decimals"),
        ({"amount": 1e300}, "/amount", "less than or equal"),
        ({"unit": "token"}, "/unit", "tokens"),
        ({"period": "week"}, "/period", "month"),
        ({"subject_type": "key", "subject_id": "mine"}, "", "number"),
        ({"subject_type": "key", "subject_id": "2000000000"}, "/subject_id", "no active key"),
        ({"subject_id": "a/b"}, "/subject_id", "pattern"),
        ({"tenant_id": "another"}, "", "subject_id names the tenant"),
    ],
)
async def test_a_mistake_is_told_where_it_is(caller: Caller, wrong: dict[str, Any], pointer: str, word: str) -> None:
    answer = await caller.http.post("/v2/budgets", json=body("tenant", "t", 1) | wrong)
    assert answer.status_code == 422, answer.text
    assert any(error["pointer"] == pointer and word in error["message"] for error in answer.json()["errors"]), answer.text


async def test_an_agent_must_exist_and_a_patch_must_fit(caller: Caller) -> None:
    assert (await caller.http.post("/v2/budgets", json=body("agent", "none-such", 1))).json()["code"] == "agent-not-found"
    made = await caller.post("/v2/budgets", body("tenant", unique("t"), 1))
    for wrong in ({"amount": None}, {"amount": 0.5}, {"amount": "1"}, {"period": "month"}, {"spent": 0}):
        answer = await caller.http.patch(f"/v2/budgets/{made['id']}", json=wrong)
        assert answer.status_code == 422, answer.text


async def test_a_tenants_key_makes_budgets_of_its_own_tenant_only(make_tenant: MakeTenant) -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    assert (await ours.caller.post("/v2/budgets", body("tenant", ours.id, 1)))["by_operator"] is False
    assert (await ours.caller.post("/v2/budgets", body("user", "ann", 1)))["tenant_id"] == ours.id
    assert (await ours.caller.post("/v2/budgets", body("key", ours.key_id, 1)))["tenant_id"] == ours.id
    for foreign in (body("tenant", theirs.id, 1), body("user", "ann", 1, tenant_id=theirs.id)):
        assert (await ours.caller.http.post("/v2/budgets", json=foreign)).json()["code"] == "budget-tenant-forbidden"
    unknown = await ours.caller.http.post("/v2/budgets", json=body("key", 2_000_000_000, 1))
    foreign_key = await ours.caller.http.post("/v2/budgets", json=body("key", theirs.key_id, 1))
    assert (unknown.status_code, foreign_key.status_code) == (422, 422)
    assert unknown.json()["code"] == foreign_key.json()["code"] == "invalid-request"


async def test_ids_of_tenants_are_their_own(caller: Caller, make_tenant: MakeTenant) -> None:
    ours, theirs = await make_tenant(), await make_tenant()
    given = body("user", "ann", 1)
    await ours.caller.post("/v2/budgets", given)
    path = f"/v2/budgets/{given['id']}"
    for refused in (
        await theirs.caller.http.get(path),
        await theirs.caller.http.delete(path),
        await theirs.caller.http.patch(path, json={}),
    ):
        assert refused.json()["code"] == "budget-not-found"
    await theirs.caller.post("/v2/budgets", given | {"amount": 2})
    assert (await ours.caller.get(path))["amount"] == 1
    assert (await caller.http.get(path)).json()["code"] == "budget-ambiguous"
    named = await caller.http.get(path, headers={"x-pointsman-tenant": theirs.id})
    assert named.json()["amount"] == 2
    await caller.post("/v2/budgets", body("tenant", unique("t"), 3, id=given["id"]))
    assert (await caller.get(path))["amount"] == 3


async def test_what_an_operator_made_a_tenant_reads_and_cannot_loosen(caller: Caller, tenant: Tenant) -> None:
    made = await caller.post("/v2/budgets", body("tenant", tenant.id, 10))
    path = f"/v2/budgets/{made['id']}"
    assert (await tenant.caller.get(path))["amount"] == 10
    for refused in (await tenant.caller.http.patch(path, json={"amount": 99}), await tenant.caller.http.delete(path)):
        assert refused.status_code == 403
        assert refused.json()["code"] == "budget-of-operator"
    assert (await tenant.caller.http.post("/v2/budgets", json=made_again(made))).json()["code"] == "budget-exists"
    assert (await caller.get(path))["amount"] == 10


async def test_changes_are_in_the_audit_log_of_the_tenant(caller: Caller, tenant: Tenant) -> None:
    made = await caller.post("/v2/budgets", body("tenant", tenant.id, 10))
    await caller.patch(f"/v2/budgets/{made['id']}", {"amount": 20})
    await caller.http.delete(f"/v2/budgets/{made['id']}")
    entries = await tenant.caller.get("/v2/audit", object_type="budget", object_id=made["id"])
    assert [entry["action"] for entry in entries["items"]] == ["budget.deleted", "budget.updated", "budget.created"]
    assert entries["items"][1]["detail"] == {"from": {"amount": 10}, "to": {"amount": 20}}


def made_again(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in ("id", "subject_type", "subject_id", "unit", "period", "amount")}
