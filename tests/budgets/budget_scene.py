"""A tenant with a key, its budgets, and what chats of known size cost."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, unique


class Tenant(NamedTuple):
    """A tenant and a caller with its key."""

    id: str
    key_id: int
    caller: Caller


def body(subject_type: str, subject_id: object, amount: float, **more: Any) -> dict[str, Any]:
    """A budget of tokens for the day."""
    fields = {"subject_type": subject_type, "subject_id": str(subject_id), "unit": "tokens", "period": "day", "amount": amount}
    return {"id": unique("budget"), **fields, **more}


async def stands(caller: Caller, budget: dict[str, Any]) -> tuple[float, float]:
    """What is spent and what is reserved."""
    now = await caller.get(f"/v2/budgets/{budget['id']}")
    return now["spent"], now["reserved"]


async def holds(caller: Caller, budget: dict[str, Any]) -> float:
    """What is reserved, once anything is."""
    async with asyncio.timeout(10):
        while not (reserved := (await stands(caller, budget))[1]):
            await asyncio.sleep(0.01)
    return reserved


async def yesterday(scene: Scene, budget: dict[str, Any]) -> None:
    """Let the budget's window have begun a day before, as the database's clock will have it tomorrow."""
    await scene.fetch(
        """
        UPDATE budget_counters SET window_start = window_start - interval '1 day'
        WHERE number = (SELECT number FROM budgets WHERE id = $1 AND is_active)
        """,
        budget["id"],
    )
