"""The problems of circuit breakers."""

from __future__ import annotations

import datetime as dt

from pointsman.kit.problems import Kind, Problem


class CircuitOpen(Problem):
    """An engine, a target or a model failed so often in a row that it is left alone for a while.

    A job that meets this ends as `failed_circuit_open` with the time from which it may be retried: `POST /v2/jobs/{id}/retry`. When
    that time has come, one job is let through; if it succeeds, all are. `GET /v2/breakers` shows what is open and why;
    `POST /v2/breakers/{id}/reset` closes one by hand.
    """

    kind = Kind.UNAVAILABLE
    code = "circuit-open"
    title = "It failed too often, and is left alone for a while"

    def __init__(self, detail: str = "", *, retry_at: dt.datetime | None = None, **fields: object) -> None:
        super().__init__(detail, **fields)  # pyright: ignore[reportArgumentType] - hint and the like, as for any problem
        self.retry_at = retry_at


class BreakerNotFound(Problem):
    """No circuit breaker has this id: only what has failed has one.

    `GET /v2/breakers` lists them.
    """

    kind = Kind.NOT_FOUND
    code = "breaker-not-found"
    title = "No such breaker"


class BreakerOfOperator(Problem):
    """Breakers are about the engines, targets and models that all tenants share: only a key without owner closes one.

    Ask the operator, or wait until the breaker's `retry_at`.
    """

    kind = Kind.FORBIDDEN
    code = "breaker-of-operator"
    title = "Only an operator closes a breaker"
