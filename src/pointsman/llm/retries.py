"""When a failed call is tried again, and when the caller is told instead."""

from __future__ import annotations

import random

from pointsman.llm.errors import ModelProblem
from pointsman.settings import UpstreamLimits

_FIRST_BACK_OFF = 0.5  # seconds, doubled each time, of which a random half is taken
_WINDOW = 14.0  # seconds in which a dead provider is given up, so that its caller hears of it within 15


class Patience:
    """How long one call may go on failing.

    A retry must be over within the window, judged by how long the last attempt took, or it is not begun. With fallbacks left each
    model has its share of the window. A connect limit above the default widens the window, since the operator then asks for it.
    """

    def __init__(self, limits: UpstreamLimits, *, began: float, now: float, models_left: int) -> None:
        self._retries = limits.retries
        window = max(_WINDOW, (limits.retries + 1) * (limits.connect.total_seconds() + 0.6))
        self._deadline = now + max(0.0, began + window - now) / max(models_left, 1)
        self._failures = 0

    def next_delay(self, problem: ModelProblem, *, attempt_began: float, now: float) -> float | None:
        """Seconds to wait before the next attempt; None: give up."""
        if not problem.may_pass or problem.produced is not None or self._failures >= self._retries:
            return None
        back_off = _FIRST_BACK_OFF * 2**self._failures * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret
        self._failures += 1
        delay = max(back_off, problem.retry_after or 0)
        return delay if now + delay + (now - attempt_began) <= self._deadline else None
