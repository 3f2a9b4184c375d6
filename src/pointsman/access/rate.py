"""Where a key stands in its hour, and the response fields that say so."""

from __future__ import annotations

from typing import NamedTuple

WINDOW_SECONDS = 3600


class RateState(NamedTuple):
    """Requests allowed per window, requests left in it, and seconds until it ends."""

    limit: int
    remaining: int
    reset_seconds: int


def headers(state: RateState) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-11, and the `x-ratelimit-*` that most clients read.

    Both tell the end of the window in seconds from now.
    """
    return {
        "RateLimit-Policy": f'"hourly";q={state.limit};w={WINDOW_SECONDS}',
        "RateLimit": f'"hourly";r={state.remaining};t={state.reset_seconds}',
        "x-ratelimit-limit": str(state.limit),
        "x-ratelimit-remaining": str(state.remaining),
        "x-ratelimit-reset": str(state.reset_seconds),
    }
