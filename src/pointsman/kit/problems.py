"""The one vocabulary of failures: a kind, a code, a title, a detail and a hint; each edge translates kinds in one table."""

from __future__ import annotations

import enum
from typing import Any, ClassVar, NamedTuple


class Kind(enum.Enum):
    """What sort of failure it is. The edges map a kind to an HTTP status, an exit code or a retry policy."""

    MALFORMED = "malformed"  # it cannot be read
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD = "method"
    NOT_ACCEPTABLE = "not-acceptable"
    CONFLICT = "conflict"
    GONE = "gone"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"  # media type
    INVALID = "invalid"  # it can be read and is wrong
    LIMITED = "limited"
    INTERNAL = "internal"
    UPSTREAM = "upstream"  # somebody we depend on answered badly
    UNAVAILABLE = "unavailable"
    UPSTREAM_TIMEOUT = "upstream-timeout"


class FieldError(NamedTuple):
    """One thing wrong with a body: an RFC 6901 JSON pointer and a sentence."""

    pointer: str
    message: str


class Problem(Exception):  # noqa: N818 - it is a value on the wire as much as an exception
    """A failure its reader can act on.

    A subclass is a fact (`AgentNotFound`): its docstring is its page in `docs/problems/`, saying when it happens and what to do.
    `detail` says what happened this time, `hint` what to do about it; neither ever holds a secret.
    `retry_after` is in seconds.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]
    title: ClassVar[str]
    registry: ClassVar[dict[str, type[Problem]]] = {}

    def __init__(
        self,
        detail: str = "",
        *,
        hint: str = "",
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        **fields: Any,
    ) -> None:
        """Make one; `fields` are extension members of the RFC 9457 object and must be JSON."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.hint = hint
        self.errors = errors
        self.retry_after = retry_after
        self.fields = fields

    def describe(self) -> dict[str, Any]:
        """The problem as JSON, for stored runs and events; edges add what is theirs."""
        described: dict[str, Any] = {"code": self.code, "title": self.title, "detail": self.detail}
        if self.hint:
            described["hint"] = self.hint
        if self.retry_after is not None:
            described["retry_after"] = self.retry_after
        return described

    @staticmethod
    def recall(described: dict[str, Any]) -> Problem:
        """The problem that `describe` described, as the class of its code."""
        kind = Problem.registry.get(described["code"], InternalProblem)
        known = {"code", "title", "detail", "hint", "retry_after"}
        fields = {name: value for name, value in described.items() if name not in known}
        return kind(described["detail"], hint=described.get("hint", ""), retry_after=described.get("retry_after"), **fields)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the code, which must be unique: clients switch on it."""
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            return
        other = Problem.registry.setdefault(cls.code, cls)
        if other is not cls and other.__qualname__ != cls.__qualname__:
            message = f"two problems share the code {cls.code}: {other.__qualname__} and {cls.__qualname__}"
            raise TypeError(message)


class InvalidRequest(Problem):
    """The body or a parameter was understood but is wrong; `errors` lists each place as a JSON pointer with a sentence.

    Correct the named fields and send the request again. An unknown field is refused rather than ignored,
    so that a typo never silently loses a setting; where a known name is close, the message suggests it.
    """

    kind = Kind.INVALID
    code = "invalid-request"
    title = "The request is not valid"


class NotFound(Problem):
    """Nothing answers to this path or id for this key. Objects of other tenants look exactly like this."""

    kind = Kind.NOT_FOUND
    code = "not-found"
    title = "Not found"


class NotSupportedYet(Problem):
    """The field is known, but this release has nothing that would act on it, so it is refused rather than stored without effect.

    Remove the field; the changelog says when it becomes available.
    """

    kind = Kind.INVALID
    code = "not-supported-yet"
    title = "This release does not support that yet"


class Unavailable(Problem):
    """The gateway cannot serve this right now, usually because its database is restarting. Nothing was lost.

    Retry after the seconds in `Retry-After`; with an `Idempotency-Key` a retry is safe.
    """

    kind = Kind.UNAVAILABLE
    code = "unavailable"
    title = "Temporarily unavailable"


class InternalProblem(Problem):
    """An unexpected error inside the gateway. It is a defect: the log has the details under the `request_id`."""

    kind = Kind.INTERNAL
    code = "internal"
    title = "Unexpected error"
