"""Keeps tokens fresh: one request to the provider at a time for each, over all replicas, whoever of them dies at whichever moment.

A refresh is three steps: the intent on record under a new epoch and a lease; the request, outside of any transaction; what was granted,
committed only under that epoch. One that died in between leaves its intent. Whoever comes after the lease asks once more with the old
refresh token: a provider that had rotated it says so, and the user connects anew. A second death of that kind is not followed by a third.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from pointsman.audit.service import record
from pointsman.credentials import connection_queries as queries
from pointsman.credentials.errors import (
    OAuthProviderFailed,
    OAuthProviderRefused,
    TokenExpired,
    TokenNotFound,
    TokenNotRefreshable,
    TokenReauthRequired,
    TokenRefreshing,
)
from pointsman.credentials.provider_api import Granted, GrantRefused
from pointsman.credentials.providers import Provider, Providers
from pointsman.credentials.sealing import identity, seal, unseal
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.notify import Listener, notify
from pointsman.kit.problems import Problem

TOPIC = "tokens"
SKEW = timedelta(seconds=60)
_RECENTLY = timedelta(seconds=5)
_LEASE = timedelta(seconds=20)  # a request is over within 10
_PATIENCE = timedelta(seconds=30)
_MOST_ASKS = 2
_POLL = 0.25
_SOON = 5.0


class Asks(Protocol):
    """What refreshing needs of the providers."""

    async def refresh(self, provider: Provider, refresh_token: str) -> Granted: ...


class Refresher:
    """Answers with tokens that are good for the next minute."""

    def __init__(
        self,
        db: Database,
        ring: KeyRing,
        providers: Providers,
        asks: Asks,
        listener: Listener | None = None,
    ) -> None:
        """Make one; without a listener others' refreshes are noticed a quarter of a second late."""
        self._db = db
        self._ring = ring
        self._providers = providers
        self._asks = asks
        self._changed = asyncio.Event()
        if listener is not None:
            listener.subscribe(TOPIC, self._hear)

    async def fresh(self, user: str, integration_key: str, *, force: bool = False) -> Record:
        """An active token of a stored user, refreshed if it ends within a minute, or with `force` if it was not just refreshed.

        Raises TokenNotFound, TokenExpired, TokenReauthRequired, TokenNotRefreshable, TokenRefreshing and the provider's failures.
        """
        deadline = time.monotonic() + _PATIENCE.total_seconds()
        while True:
            changed = self._changed
            row = await self._look(user, integration_key)
            if not (row["due"] or (force and not row["just_refreshed"])):
                return row
            if not (row["expired"] or force) and (not self._can_refresh(row) or _waits(row)):
                return row
            if _waits(row):
                await _wait_for_retry(row, deadline)
                continue
            if await self._step(row):
                continue
            if time.monotonic() > deadline:
                raise TokenRefreshing("Another replica is refreshing the token.", hint="Try again in a moment.", retry_after=2)
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _POLL)

    async def _look(self, user: str, integration_key: str) -> Record:
        async with self._db.connection() as connection:
            row = await queries.look(connection, user, integration_key, skew=SKEW, recently=_RECENTLY)
        name = user.rpartition("/")[2]
        if row is None:
            raise TokenNotFound(f"User {name} has no active token {integration_key}.", hint=f"GET /v2/users/{name}/tokens lists them.")
        if row["status"] == "reauth_required":
            raise TokenReauthRequired(
                f"User {name} has to connect {integration_key} anew, since the provider no longer knows the grant: "
                f"POST /v2/users/{name}/tokens/connect/{row['provider']} gives an address for their browser.",
                hint=f"As `integration_key` give {integration_key}, where that is not the provider's name.",
            )
        return row

    async def _step(self, row: Record) -> bool:
        """Refresh it, if nobody else has it in hand; whether something was done."""
        if not row["refreshable"]:
            raise _not_refreshable(row)
        provider = self._providers.require(row["provider"])
        async with self._db.connection() as connection:
            epoch = await queries.claim(connection, row["id"], row["generation"], most=_MOST_ASKS, lease=_LEASE)
        if epoch is not None:
            await self._ask(row, provider, epoch)
            return True
        if row["held"] or row["asks"] < _MOST_ASKS:
            return False
        async with self._db.transaction() as connection:
            if given_up := await queries.give_up(connection, row["id"], row["generation"], most=_MOST_ASKS):
                await _note(connection, "token.reauth_required", row, why="refreshes came to no known end")
        return given_up

    async def _ask(self, row: Record, provider: Provider, epoch: int) -> None:
        place = identity(row["user_id"], row["integration_key"], row["provider"])
        data = unseal(self._ring, row["encrypted_token_data"], place)
        try:
            granted = await self._asks.refresh(provider, data["refresh_token"])
        except GrantRefused:
            async with self._db.transaction() as connection:
                if await queries.refused(connection, row["id"], epoch):
                    await _note(connection, "token.reauth_required", row, why="the provider refused the grant")
            return
        except (OAuthProviderFailed, OAuthProviderRefused) as problem:
            async with self._db.connection() as connection:
                await queries.failed(connection, row["id"], epoch, problem.retry_after)
            if isinstance(problem, OAuthProviderRefused) and row["expired"]:
                raise
            return
        ciphertext = seal(self._ring, {**data, **granted.data}, place)
        async with self._db.transaction() as connection:
            if await queries.renewed(
                connection, row["id"], epoch, ciphertext=ciphertext, scopes=granted.scopes, expires_in=granted.expires_in
            ):
                await _note(connection, "token.refreshed", row)

    def _can_refresh(self, row: Record) -> bool:
        return row["refreshable"] and self._providers.find(row["provider"]) is not None

    def _hear(self, object_id: str | None) -> None:
        del object_id
        self._changed.set()
        self._changed = asyncio.Event()


def _not_refreshable(row: Record) -> Problem:
    if row["expired"]:
        return TokenExpired(f"The token {row['integration_key']} has expired and has no refresh token.", hint="PUT a new one.")
    return TokenNotRefreshable(f"The token {row['integration_key']} has no refresh token.", hint="PUT a new one.")


def _waits(row: Record) -> bool:
    return (row["retry_in"] or 0) > 0


async def _wait_for_retry(row: Record, deadline: float) -> None:
    """Wait for the next attempt, if that is soon. Raises OAuthProviderFailed."""
    retry_in = row["retry_in"]
    if retry_in > _SOON or time.monotonic() + retry_in > deadline:
        seconds = math.ceil(retry_in)
        raise OAuthProviderFailed("The last refresh failed.", hint=f"It may be tried again in {seconds} s.", retry_after=seconds)
    await asyncio.sleep(retry_in)


async def _note(connection: Connection, action: str, row: Record, **detail: str) -> None:
    """In the log, and a hint to whoever waits."""
    tenant, _, user = row["user_id"].rpartition("/")
    said = {"provider": row["provider"], **detail}
    await record(connection, None, action, "token", f"{user}/{row['integration_key']}", said, tenant=tenant)
    await notify(connection, TOPIC, row["id"])
