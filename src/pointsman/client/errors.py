"""What a caller of the client may catch: the gateway's problems as it told them, and a gateway that cannot be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.kit.problems import Kind, Problem

KIND_OF_STATUS: Mapping[int, Kind] = {
    400: Kind.MALFORMED,
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD,
    406: Kind.NOT_ACCEPTABLE,
    409: Kind.CONFLICT,
    410: Kind.GONE,
    413: Kind.TOO_LARGE,
    415: Kind.UNSUPPORTED,
    422: Kind.INVALID,
    429: Kind.LIMITED,
    500: Kind.INTERNAL,
    502: Kind.UPSTREAM,
    503: Kind.UNAVAILABLE,
    504: Kind.UPSTREAM_TIMEOUT,
}
"""The edge's table of statuses read backwards; a test holds the two together, since the client cannot import the edge."""


class ProblemResponse(Exception):  # noqa: N818 - it is the gateway's answer as much as an exception
    """A problem that the gateway answered with, or that ended a run."""

    def __init__(self, status: int, members: Mapping[str, Any], retry_after: float | None = None) -> None:
        """Take the members of its RFC 9457 object."""
        self.status = status
        self.kind = KIND_OF_STATUS.get(status, Kind.INTERNAL)
        self.code = str(members.get("code", "unknown"))
        self.title = str(members.get("title", f"HTTP {status}"))
        self.detail = str(members.get("detail", self.title))
        self.hint = str(members.get("hint", ""))
        self.errors = [(str(error.get("pointer", "")), str(error.get("message", ""))) for error in members.get("errors", ())]
        self.request_id = members.get("request_id")
        self.retry_after = retry_after
        self.members = dict(members)
        super().__init__(self.detail)


class GatewayUnreachable(Problem):
    """No gateway answers at the address that the command line uses, or the connection broke before an answer came.

    Start one with `pointsman up`, or name the right address in `POINTSMAN_URL`.
    """

    kind = Kind.UNAVAILABLE
    code = "gateway-unreachable"
    title = "The gateway cannot be reached"


class StreamLost(Problem):
    """The stream of a run broke, and no replica took it up again for as long as the client was willing to wait.

    The run goes on without a reader: follow it later with `pointsman runs events`.
    """

    kind = Kind.UNAVAILABLE
    code = "stream-lost"
    title = "The stream was lost"
