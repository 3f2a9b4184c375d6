"""What can be wrong with a key or its limit."""

from __future__ import annotations

from pointsman.access.rate import RateState
from pointsman.kit.problems import Kind, Problem


class Unauthenticated(Problem):
    """The request carries no key, or one that does not open anything: mistyped, unknown or revoked, which look alike on purpose.

    Send the key as `Authorization: Bearer pm_…` or `X-API-Key: pm_…`. If it was copied, check that it is complete (52 characters).
    """

    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"
    title = "No valid API key"


class KeyExpired(Problem):
    """The key was right once and its time is over: it reached `expires_at`, or it was rotated and the overlap has ended.

    Use its successor, or have somebody with `keys:write` make a new key.
    """

    kind = Kind.UNAUTHENTICATED
    code = "key-expired"
    title = "The API key has expired"


class RateLimited(Problem):
    """The key has used up its requests for this hour; requests answered with this problem are not counted.

    A window opens with its first counted request and lasts 3,600 seconds. Wait for the seconds in `Retry-After`, or have the
    key's `rate_limit` raised, which takes effect within a second. A rotated key shares the window of the key it came from.
    """

    kind = Kind.LIMITED
    code = "rate-limited"
    title = "The hourly limit of this key is used up"

    def __init__(self, state: RateState) -> None:
        super().__init__(
            f"All {state.limit} requests of this hour are used.",
            hint=f"Retry in {state.reset_seconds} s.",
            retry_after=state.reset_seconds,
            limit=state.limit,
        )
        self.state = state


class KeyNotFound(Problem):
    """This key sees no key of that id: there is none, or it belongs to another tenant."""

    kind = Kind.NOT_FOUND
    code = "key-not-found"
    title = "No such key"

    def __init__(self, key_id: object) -> None:
        super().__init__(f"There is no key {key_id}.", hint="GET /v2/keys lists the keys that you can see.")


class ScopesExceeded(Problem):
    """A key can hand out only scopes that it holds itself, whether it makes, edits or rotates a key.

    Ask for fewer scopes, or use a key that holds them; `GET /v2/whoami` shows the scopes of the key in use.
    """

    kind = Kind.FORBIDDEN
    code = "scopes-exceeded"
    title = "The scopes go beyond those of the calling key"


class OwnerForbidden(Problem):
    """A key with an owner makes keys of that owner only, and an operator that works in a tenant makes that tenant's keys.

    Leave `owner_id` out to inherit the owner. A key of another tenant, or without an owner, takes an operator key.
    """

    kind = Kind.FORBIDDEN
    code = "owner-forbidden"
    title = "The owner is not this key's to choose"


class KeyWidensItself(Problem):
    """A key may narrow itself, but not raise its own limit, prolong its own life or add to its own scopes.

    Make the change with another key that has `keys:write`.
    """

    kind = Kind.FORBIDDEN
    code = "key-widens-itself"
    title = "A key cannot widen itself"


class LastAdminKey(Problem):
    """This is the last operator key with the scope `admin` that works; without it nobody could manage the gateway.

    Make another operator key with `admin` first, or replace this one with `pointsman keys bootstrap --rotate` on the gateway's host.
    """

    kind = Kind.CONFLICT
    code = "last-admin-key"
    title = "The last admin key cannot be given up"


class KeyNotRotatable(Problem):
    """Only a key that works and has not been rotated before can be rotated.

    A rotated key already has a successor: rotate that one. For a revoked or expired key, make a new key.
    """

    kind = Kind.CONFLICT
    code = "key-not-rotatable"
    title = "The key cannot be rotated"


class KeyRevoked(Problem):
    """A revoked key stays in the list for the record, and can be neither changed nor brought back. Make a new key instead."""

    kind = Kind.CONFLICT
    code = "key-revoked"
    title = "The key is revoked"


class KeyFileUnusable(Problem):
    """The file for the admin key cannot be written, or it holds something that is not a key and must not be overwritten.

    Name a file in an existing folder that you may write to, and move whatever stands in its place.
    """

    kind = Kind.CONFLICT
    code = "key-file-unusable"
    title = "The key file cannot be used"
