"""Budgets are met by chats: the gateway with every provider at a fake upstream that the chat tests use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from tests.budgets.budget_scene import Tenant
from tests.chat.conftest import Scene, caller, elsewhere, scene, second_replica
from tests.e2e.calling import Caller, unique

__all__ = ["caller", "elsewhere", "scene", "second_replica"]

MakeTenant = Callable[..., Awaitable[Tenant]]


@pytest.fixture(autouse=True)
def _fresh_ledger(scene: Scene) -> None:
    scene.upstream.reset()


@pytest.fixture
async def make_tenant(scene: Scene, caller: Caller) -> AsyncGenerator[MakeTenant]:
    """Makes tenants, each with a key that may do everything within it."""
    made: list[Tenant] = []

    async def one(**key: Any) -> Tenant:
        owner = unique("tenant")
        answer = await caller.post("/v2/keys", {"name": "k", "owner_id": owner, "scopes": ["admin"], **key})
        made.append(Tenant(owner, answer["id"], Caller(scene.url, answer["api_key"])))
        return made[-1]

    yield one
    for tenant in made:
        await tenant.caller.aclose()


@pytest.fixture
async def tenant(make_tenant: MakeTenant) -> Tenant:
    return await make_tenant()
