"""Hands a user's credential to what calls a tool for them: never to the model, never to a sandbox, and never unnoticed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from pointsman.credentials.errors import RunWithoutUser, TokenNotFound, UserNotConnected
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import SKEW, TOPIC, Refresher
from pointsman.credentials.schemas import SECRET_OF
from pointsman.credentials.sealing import identity, stored_user, unseal
from pointsman.kit.crypto import KeyRing
from pointsman.kit.notify import Listener

_REMEMBER_SECONDS = 5.0
_MOST_REMEMBERED = 4096

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunUser:
    """The user for whom a run acts; `tenant_id` as runs keep it, `user_id` is None where the run names nobody."""

    tenant_id: str
    user_id: str | None
    run_id: str


@dataclass(frozen=True, slots=True)
class Use:
    """That a credential was used: for whom, in which run, by which tool. Never the credential."""

    tenant_id: str
    user_id: str
    integration_key: str
    provider: str
    run_id: str
    tool: str


@dataclass(frozen=True, slots=True)
class _Held:
    token_id: int
    provider: str
    secret: str = field(repr=False)
    until: float


class CredentialUse:
    """The credentials of runs' own users, from a cache of at most five seconds that any change of a token empties at once."""

    def __init__(
        self, refresher: Refresher, ring: KeyRing, providers: Providers, listener: Listener | None, noted: Callable[[Use], None]
    ) -> None:
        """Make one; `noted` is told of each use before the secret is handed out, and must not wait."""
        self._refresher = refresher
        self._ring = ring
        self._providers = providers
        self._noted = noted
        self._held: dict[tuple[str, str], _Held] = {}
        self._changes = 0
        if listener is not None:
            listener.subscribe(TOPIC, self.forget)

    async def use(self, user: RunUser, integration_key: str, *, tool: str) -> str:
        """The user's secret as it goes into a header, good for the next minute; `tool` is what it is used by.

        Raises RunWithoutUser, UserNotConnected, SecretUnreadable and what `Refresher.fresh` raises; what they say may be told to a model.
        """
        if user.user_id is None:
            raise RunWithoutUser(
                f"The tool {tool} uses the credential {integration_key} of the run's user, and this run names none.",
                hint="Name the user as `user_id` in the request.",
            )
        place = stored_user(user.tenant_id, user.user_id), integration_key
        held = self._held.get(place)
        if held is None or held.until <= time.monotonic():
            held = await self._fetch(user.user_id, place)
        self._noted(Use(user.tenant_id, user.user_id, integration_key, held.provider, user.run_id, tool))
        return held.secret

    def forget(self, token_id: str | None) -> None:
        """A token changed, or with None perhaps any: nothing that was read or asked for before counts any more."""
        self._changes += 1
        if token_id is None:
            self._held.clear()
            return
        for place in [place for place, held in self._held.items() if str(held.token_id) == token_id]:
            del self._held[place]

    async def _fetch(self, user_id: str, place: tuple[str, str]) -> _Held:
        # Both are read before the query: a change that commits while it is under way must not be outlived by its answer.
        asked_at, changes = time.monotonic(), self._changes
        try:
            row = await self._refresher.fresh(*place)
        except TokenNotFound:
            raise _not_connected(user_id, place[1], known=self._providers.find(place[1]) is not None) from None
        data = unseal(self._ring, row["encrypted_token_data"], identity(*place, row["provider"]))
        lasts = _REMEMBER_SECONDS if row["ends_in"] is None else min(_REMEMBER_SECONDS, row["ends_in"] - SKEW.total_seconds())
        held = _Held(row["id"], row["provider"], data[SECRET_OF[row["token_type"]]], asked_at + lasts)
        if changes == self._changes:
            self._remember(place, held)
        return held

    def _remember(self, place: tuple[str, str], held: _Held) -> None:
        self._held.pop(place, None)
        # The first inserted is the first to be stale, or nearly so.
        if len(self._held) >= _MOST_REMEMBERED:
            del self._held[next(iter(self._held))]
        self._held[place] = held


def _not_connected(user_id: str, integration_key: str, *, known: bool) -> UserNotConnected:
    # All of it in the detail: that is what a model is told.
    tokens = f"/v2/users/{user_id}/tokens"
    how = f"POST {tokens}/connect/{integration_key} gives an address for their browser" if known else f"PUT {tokens}/{integration_key}"
    return UserNotConnected(f"User {user_id} has to connect {integration_key} first: {how}.", hint="Then have the tool called again.")
