"""What an attempt says about the engine and the target that it was made with: whose breaker hears of it."""

from __future__ import annotations

from pointsman.breakers.breaking import Breakers, Subject
from pointsman.breakers.errors import CircuitOpen
from pointsman.execution.attempt import Attempt, Order
from pointsman.execution.concluding import PASSING
from pointsman.execution.errors import TargetFailed
from pointsman.execution.ports import Outcome
from pointsman.kit.problems import Problem, Unavailable
from pointsman.llm.errors import ModelProblem


def subjects_of(order: Order) -> tuple[Subject, Subject]:
    """The breakers that a job has to pass."""
    return Subject("engine", order.choice.engine.id), Subject("target", order.choice.target.id)


async def judge(breakers: Breakers, attempt: Attempt, outcome: Outcome | BaseException) -> Outcome | BaseException:
    """Tell the breakers; a failure that opens one is a CircuitOpen from then on: to try the job again at once would only meet it."""
    holder = attempt.job_id
    try:
        if not isinstance(outcome, BaseException):
            await breakers.succeeded(subjects_of(attempt.order), holder)
        elif (subject := _blamed(attempt.order, outcome)) is not None:
            return await breakers.failed(subject, holder, _reason(outcome)) or outcome
    except Unavailable:  # it will be heard of again
        return outcome
    return outcome


def _blamed(order: Order, outcome: BaseException) -> Subject | None:
    """Models have breakers of their own, who have heard of it already; the database being away is nobody's fault here."""
    engine, target = subjects_of(order)
    match outcome:
        case TargetFailed():
            return target
        case CircuitOpen() | ModelProblem() | Unavailable():
            return None
        case Problem():
            return engine if outcome.kind in PASSING else None
        case _:
            return None


def _reason(outcome: BaseException) -> str:
    return f"{outcome.code}: {outcome.detail}" if isinstance(outcome, Problem) else type(outcome).__name__
