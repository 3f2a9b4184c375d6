"""Saying that a budget is used up: to whom, until when, and without asking again what cannot have changed."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from pointsman.budgets.bounds import LEAST_OUTPUT, Bound
from pointsman.budgets.errors import BudgetExhausted
from pointsman.budgets.reserving import Refusal, Room
from pointsman.budgets.rows import ActiveBudget, Payer
from pointsman.kit.clock import rfc3339
from pointsman.llm.port import Spend

_MOST_REMEMBERED = 10_000


class _Remembered(NamedTuple):
    version: int
    room: Room
    until: float


class Exhaustion:
    """What the database said was left of budgets when it refused a call.

    Within a window what is spent only rises, so that a call which cannot fit into that need not be opened as a run. A changed budget
    has another version.
    """

    def __init__(self) -> None:
        self._remembered: dict[int, _Remembered] = {}

    def remember(self, budgets: Sequence[ActiveBudget], refusal: Refusal, asked_at: float) -> None:
        """Keep a refusal; `asked_at` is when it was asked for, by the monotonic clock."""
        for budget in budgets:
            if budget.number in refusal.full:
                room = refusal.rooms[budget.number]
                self._remembered.pop(budget.number, None)
                if len(self._remembered) >= _MOST_REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                self._remembered[budget.number] = _Remembered(budget.version, room, asked_at + room.resets_in)

    def refuse(self, payer: Payer, budgets: Sequence[ActiveBudget], smallest: Bound) -> None:
        """Raises BudgetExhausted where not even the smallest call of these models fits."""
        now = time.monotonic()
        for budget in budgets:
            known = self._remembered.get(budget.number)
            if known is None or known.version != budget.version or known.until <= now:
                continue
            amount = smallest.amount(budget.unit, LEAST_OUTPUT)
            if amount and known.room.unspent < amount:
                raise exhausted(payer, budget, known.room._replace(resets_in=known.until - now), held=False)


def refused(
    payer: Payer, budgets: Sequence[ActiveBudget], refusal: Refusal, least: Bound, spent: tuple[Spend, ...] = ()
) -> BudgetExhausted:
    """The problem of a call that was refused; of several budgets the one that begins anew last, since it is what to wait for."""
    full = [budget for budget in budgets if budget.number in refusal.full]
    budget = max(full, key=lambda one: refusal.rooms[one.number].resets_in)
    room = refusal.rooms[budget.number]
    held = all(refusal.rooms[one.number].unspent >= least.amount(one.unit, LEAST_OUTPUT) for one in full)
    return exhausted(payer, budget, room, held=held, spent=spent)


def exhausted(payer: Payer, budget: ActiveBudget, room: Room, *, held: bool, spent: tuple[Spend, ...] = ()) -> BudgetExhausted:
    """The problem; `held` where calls under way have what is left, and will give back what they do not use."""
    described = {"subject_type": budget.subject_type, "subject_id": budget.subject_id, "unit": budget.unit, "period": budget.period}
    if budget.tenant_id == payer.tenant_id:
        described["id"] = budget.id
    reset = rfc3339(room.resets_at)
    whose = f"The {budget.subject_type} {budget.subject_id}"
    what = f"budget of {'tokens' if budget.unit == 'tokens' else 'cost'} for the {budget.period}"
    if held:
        detail = f"{whose} has a {what}, and calls that are under way hold what is left of it."
        hint = "Retry in a moment: they give back what they do not use. A smaller max_tokens holds less."
    else:
        detail = f"{whose} has used up the {what}, or too little is left of it for this call. It begins anew at {reset}."
        hint = "Wait until then, send less, or have the budget raised by whoever made it."
    return BudgetExhausted(
        detail,
        hint=hint,
        retry_after=1 if held else max(1, math.ceil(room.resets_in)),
        spent=spent,
        resets_at=reset,
        budget=described,
    )
