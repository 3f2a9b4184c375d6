"""When a delivery is tried again, and how many are tried at once."""

from __future__ import annotations

import random
from datetime import timedelta

ATTEMPT_WITHIN = timedelta(seconds=15)
LEASE = timedelta(seconds=30)
"""How long an attempt is this process's own: longer than it may take."""
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    2 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    2 * _HOUR,
    4 * _HOUR,
    8 * _HOUR,
    8 * _HOUR,
)
"""Waits between attempts, which come to nearly 24 hours."""
MOST_ATTEMPTS = len(DELAYS) + 1
_SPREAD = 0.2
_LONGEST_ASKED = _HOUR


def delay(attempts: int, asked: timedelta = timedelta()) -> timedelta | None:
    """How long to wait after so many attempts, at least as long as the receiver asked for (an hour at most); None: no more of them.

    What failed together is not tried again together.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    spread = random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - nothing secret
    return max(DELAYS[attempts - 1] * spread, min(asked, _LONGEST_ASKED))
