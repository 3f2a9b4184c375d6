"""What is asked of a provider: to grant a token, to refresh it and to revoke it. Its addresses are the operator's, hence trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

from pointsman.credentials.errors import OAuthProviderFailed, OAuthProviderRefused
from pointsman.credentials.providers import Provider
from pointsman.kit.egress import Answer, EgressFailed, EgressTimeout, EgressTooLarge, Trusted

WITHIN = timedelta(seconds=10)
_FORM = "application/x-www-form-urlencoded"
_MOST = 262_144
_LONGEST_RETRY_AFTER = 3600.0
_OF_GRANT = {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
# The providers' names for one thing: the user has to connect anew.
_GONE = {"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked", "token_expired"}


class GrantRefused(Exception):  # noqa: N818 - an answer of the provider's, which its callers turn into a state
    """The provider knows the grant no more: it was revoked, used up or never good."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a provider granted; `refresh_token` is None where the old one stays good, `expires_in` is in seconds."""

    data: dict[str, Any] = field(repr=False)
    expires_in: float | None
    scopes: tuple[str, ...] | None


class ProviderApi:
    """Asks providers. Every call is one request, whole within ten seconds. Close it with `aclose`."""

    def __init__(self) -> None:
        self._http = Trusted()

    async def refresh(self, provider: Provider, refresh_token: str) -> Granted:
        """A new access token. Raises GrantRefused, OAuthProviderFailed where it may be tried again, OAuthProviderRefused where not."""
        return await self._grant(provider, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def exchange(self, provider: Provider, code: str, *, redirect_uri: str, verifier: str) -> Granted:
        """What a user consented to. A code is good once, so it is asked once. Raises what `refresh` raises."""
        asked = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._grant(provider, asked | ({"code_verifier": verifier} if provider.known.pkce else {}))

    async def revoke(self, provider: Provider, token: str) -> bool:
        """Whether the provider says that the token is gone; False where it offers no way or did not answer so."""
        if provider.known.revoke_url is None:
            return False
        try:
            answer = await self._post(provider, provider.known.revoke_url, {"token": token})
        except OAuthProviderFailed:
            return False
        return 200 <= answer.status < 300

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def _grant(self, provider: Provider, asked: dict[str, str]) -> Granted:
        return _granted(provider, await self._post(provider, provider.known.token_url, asked))

    async def _post(self, provider: Provider, url: str, asked: dict[str, str]) -> Answer:
        from authlib.oauth2.auth import ClientAuth  # noqa: PLC0415 - a twentieth of a second that the start need not wait for

        client: Any = ClientAuth(provider.client_id, provider.client_secret, provider.known.auth)
        kind, body = ("application/json", json.dumps(asked)) if provider.known.sends_json else (_FORM, urlencode(asked))
        url, headers, body = client.prepare("POST", url, {"Content-Type": kind, "Accept": "application/json"}, body)
        try:
            return await self._http.request("POST", url, headers=headers, body=body.encode(), timeout=WITHIN, most=_MOST)
        except (EgressFailed, EgressTimeout, EgressTooLarge) as problem:
            raise OAuthProviderFailed(f"The provider {provider.name} did not answer: {problem.detail}", hint="Try again later.") from None


def _granted(provider: Provider, answer: Answer) -> Granted:
    if answer.status == 429 or answer.status >= 500:
        detail = f"The provider {provider.name} answered with status {answer.status}."
        raise OAuthProviderFailed(detail, hint="Try again later.", retry_after=_retry_after(answer))
    said = _of_user(_object(provider, answer), provider.known.within)
    error = said.get("error")
    if isinstance(error, str) and error in _GONE:
        raise GrantRefused
    # Some providers tell of failures with status 200.
    if answer.status != 200 or error or said.get("ok") is False or not isinstance(said.get("access_token"), str):
        raise OAuthProviderRefused(
            f"The provider {provider.name} refused ({answer.status}, {word(error)}).",
            hint="An operator checks the client's id, secret and redirect address at the provider.",
        )
    kept = {name: value for name, value in said.items() if name not in {"ok", "expires_in", "scope"}}
    return Granted(kept, _seconds(said.get("expires_in")), _scopes(said.get("scope")))


def _of_user(said: dict[str, Any], within: str | None) -> dict[str, Any]:
    """With the part of it that is the user's in place of what is not."""
    part = said.get(within) if within else None
    if not isinstance(part, dict):
        return said
    return {name: value for name, value in said.items() if name not in {within, *_OF_GRANT}} | cast("dict[str, Any]", part)


def _object(provider: Provider, answer: Answer) -> dict[str, Any]:
    try:
        said = answer.json()
    except EgressFailed:
        said = None
    if not isinstance(said, dict):
        raise OAuthProviderRefused(f"The provider {provider.name} answered with status {answer.status} and no JSON object.")
    return cast("dict[str, Any]", said)


def word(error: object) -> str:
    """A provider's own code, if it is one: its text might repeat what it was sent."""
    return error if isinstance(error, str) and len(error) <= 50 and error.replace("_", "").isalnum() else "no code"


def _seconds(value: object) -> float | None:
    try:
        seconds = float(cast("Any", value))
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 10**9 else None


def _scopes(value: object) -> tuple[str, ...] | None:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) and value else None


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER) if value.isdecimal() and len(value) < 9 else None
