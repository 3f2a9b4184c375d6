"""How a user connects an account: a link, a page that says for whom, the provider's consent, and a token that is stored.

The link, the browser's cookie and the `state` are three secrets of 256 bits, of which the database knows the hashes. A `state` is good
once, for a few minutes, for the one provider, and in the browser that left with it. For whom a token is stored stands in the row alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pydantic

from pointsman.audit.service import record
from pointsman.credentials import connect_queries as queries
from pointsman.credentials.consent import ADDRESS, Returned, callback_of, consent_url
from pointsman.credentials.errors import (
    ConnectDenied,
    ConnectDisabled,
    ConnectLinkInvalid,
    ConnectNotFound,
    ConnectRefused,
    OAuthProviderRefused,
    TokenDataInvalid,
)
from pointsman.credentials.provider_api import Granted, GrantRefused, ProviderApi, word
from pointsman.credentials.providers import Provider, Providers
from pointsman.credentials.schemas import ConnectCreate, ConnectIssued, ConnectRead, TokenPut
from pointsman.credentials.sealing import stored_user
from pointsman.credentials.storing import store
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database, Record
from pointsman.kit.ids import new_id
from pointsman.kit.principal import Principal
from pointsman.kit.problems import Problem

LINK_LASTS = timedelta(minutes=15)
_CONSENT_LASTS = timedelta(minutes=10)
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_AGAIN = "Ask whoever sent you here for a new link."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page asks: for whom something is to be connected, and what its form sends along."""

    row: Record
    provider: Provider
    browser: str
    form: str


class ConnectService:
    """Users' connects."""

    def __init__(self, db: Database, ring: KeyRing, providers: Providers, api: ProviderApi, base_url: str | None) -> None:
        """`base_url` is where people's browsers reach the gateway; without it nothing can be connected."""
        self._db = db
        self._ring = ring
        self._providers = providers
        self._api = api
        self._base_url = base_url.rstrip("/") if base_url is not None else None

    async def create_connect(self, principal: Principal, user_id: str, provider: str, body: ConnectCreate) -> ConnectIssued:
        """A link for the user. Raises ConnectDisabled, OAuthProviderNotFound, OAuthProviderNotConfigured."""
        known = self._providers.require_consenting(provider).known
        base, start = self.base_url(), secrets.token_urlsafe(32)
        scopes = dict.fromkeys([*(known.scopes if body.scopes is None else body.scopes), *known.always])
        async with self._db.transaction() as connection:
            row = await queries.insert_connect(
                connection,
                connect_id=new_id("con"),
                tenant=principal.tenant_key,
                user_id=user_id,
                integration_key=body.integration_key or provider,
                provider=provider,
                scopes=list(scopes),
                key_id=principal.key_id,
                start_hash=_hash(start),
                lasts=LINK_LASTS,
            )
            said = {"provider": provider, "scopes": list(scopes), "connect_id": row["id"]}
            await record(connection, principal, "token.connect_opened", "token", f"{user_id}/{row['integration_key']}", said)
        return ConnectIssued(**ConnectRead.of(row).model_dump(), url=f"{base}{ADDRESS}/{start}")

    async def require_connect(self, principal: Principal, user_id: str, connect_id: str) -> ConnectRead:
        """A user's connect. Raises ConnectNotFound."""
        async with self._db.connection() as connection:
            row = await queries.find_connect(connection, connect_id, principal.tenant_key, user_id)
        if row is None:
            raise ConnectNotFound(f"User {user_id} has no connect {connect_id}.", hint="A new one is opened by POST.")
        return ConnectRead.of(row)

    async def ask(self, start: str, cookies: Mapping[str, str]) -> Asked:
        """What the page behind a link asks. Nothing is taken by looking: previews of links look too. Raises ConnectLinkInvalid."""
        async with self._db.connection() as connection:
            row = _usable(await queries.find_by_start(connection, _hash(start)))
        browser = _browser_of(row, cookies) or secrets.token_urlsafe(32)
        return Asked(row, self._providers.require_consenting(row["provider"]), browser, _form(start, browser))

    async def begin(self, start: str, cookies: Mapping[str, str], form: str) -> tuple[Provider, str]:
        """Take a link for the browser whose page it was, and say where the user consents. Raises ConnectLinkInvalid."""
        base, state, verifier = self.base_url(), secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        async with self._db.transaction() as connection:
            row = _usable(await queries.find_by_start(connection, _hash(start), lock=True))
            provider = self._providers.require_consenting(row["provider"])
            browser = _browser_of(row, cookies)
            if browser is None or not hmac.compare_digest(form.encode(), _form(start, browser).encode()):
                raise ConnectLinkInvalid(
                    "This browser did not show the page of this link, or keeps no cookies.", hint="Open the link again, and allow cookies."
                )
            if row["browser_hash"] not in {None, _hash(browser)}:
                raise ConnectLinkInvalid("Another browser has taken this link.", hint=_AGAIN)
            await queries.open_connect(
                connection,
                row["id"],
                state_hash=_hash(state),
                browser_hash=_hash(browser),
                verifier=self._ring.encrypt(verifier.encode(), _identity(row)),
                lasts=_CONSENT_LASTS,
            )
        return provider, consent_url(provider, base, scopes=row["scopes"], state=state, verifier=verifier)

    async def finish(self, provider: str, returned: Returned, cookies: Mapping[str, str]) -> tuple[Provider, Record]:
        """Store what the user consented to; the row says for whom. Raises ConnectRefused, ConnectDenied and the provider's failures."""
        row, verifier = await self._take(provider, returned, cookies)
        at = self._providers.require_consenting(provider)
        try:
            granted = await self._granted(at, returned, verifier)
            token = _token(at, granted, row)
        except Problem as problem:
            async with self._db.transaction() as connection:
                await queries.end_connect(connection, row["id"], "failed", problem.detail[:500])
            raise
        await self._store(row, token, granted.expires_in)
        return at, row

    def base_url(self) -> str:
        """Where people's browsers reach the gateway. Raises ConnectDisabled."""
        if self._base_url is None:
            raise ConnectDisabled("It is not known where browsers reach this gateway.", hint="An operator sets POINTSMAN_PUBLIC_URL.")
        return self._base_url

    async def _take(self, provider: str, returned: Returned, cookies: Mapping[str, str]) -> tuple[Record, str]:
        """The connect that an answer is for, which from now on no other is for, and its verifier."""
        async with self._db.transaction() as connection:
            row = await queries.lock_by_state(connection, _hash(returned.state))
            if row is None or row["provider"] != provider or row["status"] != "opened":
                raise ConnectRefused("Nothing here waits for this answer: it was taken before, or its time is over.", hint=_AGAIN)
            browser = _browser_of(row, cookies)
            if browser is None or not hmac.compare_digest(_hash(browser), row["browser_hash"]):
                raise ConnectRefused(
                    "Another browser began this, or this one keeps no cookies.", hint="Go on in the browser in which you opened the link."
                )
            verifier = self._ring.decrypt(row["encrypted_verifier"], _identity(row)).decode()
            await queries.take_connect(connection, row["id"])
        return row, verifier

    async def _granted(self, provider: Provider, returned: Returned, verifier: str) -> Granted:
        _check_issuer(provider, returned)
        if returned.error is not None:
            why = "the user said no" if returned.error == "access_denied" else f"it said {word(returned.error)}"
            raise ConnectDenied(f"{provider.title} did not grant it: {why}.", hint=_AGAIN)
        if returned.code is None:
            raise OAuthProviderRefused(f"{provider.title} sent neither a code nor an error.", hint=_AGAIN)
        try:
            return await self._api.exchange(provider, returned.code, redirect_uri=callback_of(self.base_url(), provider), verifier=verifier)
        except GrantRefused:
            raise OAuthProviderRefused(f"{provider.title} did not take its own code again.", hint=_AGAIN) from None

    async def _store(self, row: Record, token: TokenPut, expires_in: float | None) -> None:
        user = stored_user(row["tenant_id"], row["user_id"])
        async with self._db.transaction() as connection:
            ended = await queries.end_connect(connection, row["id"], "connected")
            if ended is None:
                raise ConnectRefused("The user's data was erased meanwhile.", hint=_AGAIN)
            if expires_in is not None:
                token = token.model_copy(update={"expires_at": ended["now"] + timedelta(seconds=expires_in)})
            stored = await store(connection, self._ring, user, row["integration_key"], token)
            await _note(connection, row, stored)


def cookie_of(row: Record) -> str:
    """The name of the cookie that binds a connect to a browser; one each, so that several may be under way in one browser."""
    return f"pointsman_{row['id']}"


def _usable(row: Record | None) -> Record:
    if row is None:
        raise ConnectLinkInvalid("Nobody made this link, or whoever made it may no longer.", hint=_AGAIN)
    if row["status"] == "expired":
        raise ConnectLinkInvalid("The time of this link is over.", hint=_AGAIN)
    if row["status"] not in {"pending", "opened"}:
        raise ConnectLinkInvalid("This link was used already.", hint=_AGAIN)
    return row


def _check_issuer(provider: Provider, returned: Returned) -> None:
    """As RFC 9207 has it. Raises ConnectRefused."""
    known = provider.known
    if known.issuer is None or (returned.issuer is None and not known.announces_issuer):
        return
    if returned.issuer != known.issuer:
        raise ConnectRefused(f"The answer does not come from {known.issuer}.", hint=f"Nothing was stored. {_AGAIN}")


def _token(provider: Provider, granted: Granted, row: Record) -> TokenPut:
    try:
        token = TokenPut(
            provider=provider.name,
            token_type="oauth2",  # noqa: S106 - a type, no secret
            token_data=granted.data,
            scopes=list(row["scopes"] if granted.scopes is None else granted.scopes),
        )
        token.check()
    except (pydantic.ValidationError, TokenDataInvalid):
        raise OAuthProviderRefused(f"{provider.title} granted something that cannot be kept as a token.", hint=_AGAIN) from None
    return token


async def _note(connection: Connection, row: Record, stored: Record) -> None:
    said = {"provider": row["provider"], "token_type": "oauth2", "scopes": list(stored["scopes"]), "connect_id": row["id"]}
    name = f"{row['user_id']}/{row['integration_key']}"
    await record(connection, None, "token.stored", "token", name, said, actor="connect", tenant=row["tenant_id"])


def _browser_of(row: Record, cookies: Mapping[str, str]) -> str | None:
    value = cookies.get(cookie_of(row), "")
    return value if _SECRET.fullmatch(value) else None


def _form(start: str, browser: str) -> str:
    """What only a page that was shown to this browser knows."""
    return _hash(f"form {start} {browser}")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _identity(row: Record) -> str:
    return f"token_connects/{row['id']}"
