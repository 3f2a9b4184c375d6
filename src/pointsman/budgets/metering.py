"""Budgets around models: each call is reserved before a model is asked, bounded while it answers, and settled with its usage."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import CoroutineType
from typing import Any

import msgspec
import structlog

from pointsman.budgets.active import ActiveBudgets, Hints
from pointsman.budgets.bounds import LEAST_OUTPUT, PER_CALL, Bound, prompt_and_output
from pointsman.budgets.errors import BudgetExhausted, BudgetUnpriced
from pointsman.budgets.exhausting import Exhaustion, refused
from pointsman.budgets.reserving import Ask, Line, Refusal, Reserver
from pointsman.budgets.rows import ActiveBudget, Payer
from pointsman.budgets.settling import never_reserved, sweep
from pointsman.kit.db import Database
from pointsman.kit.problems import Unavailable
from pointsman.llm.estimates import estimate
from pointsman.llm.port import ModelAnswer, ModelCall, ModelPort, ReasoningDelta, Restarted, Spend, StreamItem, TextDelta

_TRIES = 3  # of reserving what is left, while others take and give back
_CHARACTERS_PER_TOKEN = 4
_SWEEP_SECONDS = 15
_AWAY_PAUSE = 0.2

log = structlog.get_logger()


class Budgets:
    """The budgets of this process: what applies, what is reserved, and which runs have something to settle."""

    def __init__(self, db: Database, hints: Hints, output_tokens: int) -> None:
        """Make one; `output_tokens` bounds the answer of a call whose settings do not."""
        self._db = db
        self._reserver = Reserver(db)
        self._exhaustion = Exhaustion()
        self._output_tokens = output_tokens
        self._owing: set[str] = set()
        self.active = ActiveBudgets(db, hints)

    async def admit(self, payer: Payer, models: tuple[str, ...]) -> None:
        """Refuse what cannot be paid before it becomes a run. Raises BudgetExhausted, BudgetUnpriced, Unavailable."""
        budgets = self.active.find(payer)
        if budgets is None:
            budgets = await self.active.require(payer)
        if budgets:
            smallest = Bound(models, PER_CALL, LEAST_OUTPUT)
            _require_prices(budgets, smallest)
            self._exhaustion.refuse(payer, budgets, smallest)

    def around(self, models: ModelPort, payer: Payer, run_id: str, *, epoch: int) -> BudgetedModels:
        """The models of a run that this process drives."""
        return BudgetedModels(self, models, payer, run_id, epoch)

    def owes(self, run_id: str) -> bool:
        """Whether the run may hold reservations, so that what it records settles them."""
        return run_id in self._owing

    def adopt(self, run_id: str) -> None:
        """The run was another replica's, and may hold what that one reserved."""
        self._owing.add(run_id)

    async def was_never_asked(self, payer: Payer, run_id: str) -> bool:
        """Whether it is sure that no model was being asked for a run that was taken over, since whoever asks has reserved."""
        while True:
            with contextlib.suppress(Unavailable):
                budgets = await self.active.require(payer)
                if not budgets:
                    return False
                async with self._db.connection() as connection:
                    return await never_reserved(connection, run_id, [budget.number for budget in budgets])
            await asyncio.sleep(_AWAY_PAUSE)

    def forget(self, run_id: str) -> None:
        """This process drives the run no more."""
        self._owing.discard(run_id)

    async def reserve(self, budgets: tuple[ActiveBudget, ...], ask: Ask) -> Refusal | None:
        """None once it is reserved."""
        self._owing.add(ask.run_id)
        asked_at = time.monotonic()
        refusal = await self._reserver.reserve(ask)
        if refusal is not None:
            self._exhaustion.remember(budgets, refusal, asked_at)
        return refusal

    async def hold(self, payer: Payer, bound: Bound, account: str, *, epoch: int, slot: int) -> None:
        """Reserve the most that one call of an account may use. Raises BudgetExhausted, BudgetUnpriced, Unavailable."""
        budgets = await self.active.require(payer)
        if not budgets:
            return
        _require_prices(budgets, bound)
        lines = tuple(Line(one.number, amount) for one in budgets if (amount := bound.amount(one.unit, bound.output)))
        if lines and (refusal := await self.reserve(budgets, Ask(account, epoch, slot, lines))) is not None:
            raise refused(payer, budgets, refusal, bound)

    def bound_of(self, call: ModelCall) -> Bound:
        """The most that the call may use."""
        return Bound(call.models, *prompt_and_output(call, self._output_tokens))

    async def run(self) -> None:
        """Write reservations until cancelled."""
        await self._reserver.run()

    async def sweep(self) -> None:
        """Give back what ended runs still hold, at once and then a few times a minute, until cancelled."""
        while True:
            with contextlib.suppress(Unavailable):
                async with self._db.connection() as connection:
                    freed = await sweep(connection)
                if freed:
                    log.info("budgets.reservations_freed", reservations=freed)
            await asyncio.sleep(_SWEEP_SECONDS)


@dataclass(slots=True)
class _Hold:
    """A reserved call: `output` tokens at each of its models; `refusal` is why that is less than was asked for."""

    call: ModelCall
    budgets: tuple[ActiveBudget, ...]
    bound: Bound
    output: int
    refusal: Refusal | None
    began: float = field(default_factory=time.monotonic)
    attempts: list[int] = field(default_factory=lambda: [0])  # characters that came of each model that was asked

    @property
    def is_used_up(self) -> bool:
        """Whether so much came that it may be more than is reserved."""
        return sum(self.attempts) > len(self.bound.models) * self.output * _CHARACTERS_PER_TOKEN

    def spent(self) -> tuple[Spend, ...]:
        """What the call has used when it is cut: nobody will report it."""
        latency_ms = int((time.monotonic() - self.began) * 1000)
        models = self.call.models
        return tuple(
            Spend(models[min(number, len(models) - 1)], estimate(self.call, produced), latency_ms)
            for number, produced in enumerate(self.attempts)
        )


class BudgetedModels:
    """The models of one run, each call within its budgets; implements `ModelPort`. Where no budget applies it is the models themselves."""

    def __init__(self, budgets: Budgets, models: ModelPort, payer: Payer, run_id: str, epoch: int) -> None:
        self._budgets = budgets
        self._models = models
        self._payer = payer
        self._run_id = run_id
        self._epoch = epoch
        self._slot = 0

    def complete(self, call: ModelCall) -> CoroutineType[Any, Any, ModelAnswer]:
        """The whole answer. Raises a `ModelProblem`, among them BudgetExhausted and BudgetUnpriced."""
        return self._models.complete(call) if self._budgets.active.find(self._payer) == () else self._complete(call)

    def stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        """The answer as it comes, cut where its reservation is used up and nothing is left to extend it."""
        return self._models.stream(call) if self._budgets.active.find(self._payer) == () else self._stream(call)

    async def _complete(self, call: ModelCall) -> ModelAnswer:
        hold = await self._hold(call)
        if hold is None:
            return await self._models.complete(call)
        answer = await self._models.complete(hold.call)
        self._require_whole(hold, answer)
        return answer

    async def _stream(self, call: ModelCall) -> AsyncGenerator[StreamItem]:
        hold = await self._hold(call)
        async with aclosing(self._models.stream(call if hold is None else hold.call)) as items:
            async for item in items:
                if hold is not None:
                    await self._meter(hold, item)
                yield item

    async def _meter(self, hold: _Hold, item: StreamItem) -> None:
        match item:
            case TextDelta(text) | ReasoningDelta(text):
                hold.attempts[-1] += len(text)
                if hold.is_used_up:
                    await self._extend(hold, len(text))
            case Restarted():
                hold.attempts.append(0)
            case ModelAnswer():
                self._require_whole(hold, item)

    async def _hold(self, call: ModelCall) -> _Hold | None:
        """Reserve the call, or what is left where that is less; None where no budget applies."""
        budgets = await self._applying()
        if not budgets:
            return None
        bound = self._budgets.bound_of(call)
        _require_prices(budgets, bound)
        # A call that costs nothing asks nothing of a budget of cost, however little is left of it.
        budgets = tuple(one for one in budgets if bound.amount(one.unit, bound.output))
        if not budgets:
            return None
        output, refusal = await self._reserve(budgets, bound, reserved=None)
        capped = msgspec.structs.replace(call, settings=call.settings | {"max_tokens": output})
        return _Hold(capped, budgets, bound, output, refusal)

    async def _extend(self, hold: _Hold, arrived: int) -> None:
        """More came than was reserved for, by estimate: reserve more, or cut the call before the piece that is too much."""
        bound = replace(hold.bound, output=hold.output + hold.bound.output)
        try:
            hold.output, _ = await self._reserve(hold.budgets, bound, reserved=hold.output)
        except BudgetExhausted as problem:
            hold.attempts[-1] -= arrived
            problem.spent = hold.spent()
            raise

    async def _reserve(self, budgets: tuple[ActiveBudget, ...], bound: Bound, reserved: int | None) -> tuple[int, Refusal | None]:
        """Reserve up to `bound.output` tokens of output, where so many are `reserved` already; how many it is now, and why not all."""
        output, refusal = bound.output, None
        least = min(bound.output, LEAST_OUTPUT + (reserved or 0))
        for _ in range(_TRIES):
            refused_now = await self._budgets.reserve(budgets, self._ask(budgets, bound, output, reserved))
            if refused_now is None:
                return output, refusal
            refusal = refused_now
            output = min(
                bound.output_within(budget.unit, refusal.rooms[budget.number].left + _held(bound, budget, reserved))
                for budget in budgets
                if budget.number in refusal.rooms
            )
            if output < least:
                break
        assert refusal is not None
        raise refused(self._payer, budgets, refusal, bound)

    def _ask(self, budgets: tuple[ActiveBudget, ...], bound: Bound, output: int, reserved: int | None) -> Ask:
        self._slot += 1
        lines = tuple(Line(one.number, bound.amount(one.unit, output) - _held(bound, one, reserved)) for one in budgets)
        return Ask(self._run_id, self._epoch, self._slot, lines)

    async def _applying(self) -> tuple[ActiveBudget, ...]:
        """While the database is away an open run waits for it: nothing is asked that might be unreserved."""
        while True:
            try:
                return await self._budgets.active.require(self._payer)
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)

    def _require_whole(self, hold: _Hold, answer: ModelAnswer) -> None:
        """An answer that ends where the budget did is no answer."""
        if hold.refusal is not None and answer.finish_reason == "length":
            raise refused(self._payer, hold.budgets, hold.refusal, hold.bound, answer.spent)


def _held(bound: Bound, budget: ActiveBudget, reserved: int | None) -> Any:
    return 0 if reserved is None else bound.amount(budget.unit, reserved)


def _require_prices(budgets: tuple[ActiveBudget, ...], bound: Bound) -> None:
    if any(budget.unit == "cost" for budget in budgets) and not bound.is_priced:
        raise BudgetUnpriced(
            f"A budget in cost applies, and {' or '.join(bound.models)} has no known price.",
            hint="Use a model with a known price, or budget tokens.",
        )
