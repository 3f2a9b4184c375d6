"""The addresses of a consent: where a user is sent to, where the provider sends them back to, and what it says there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pointsman.credentials.providers import Provider

ADDRESS = "/v2/connect"


@dataclass(frozen=True, slots=True)
class Returned:
    """What a provider's answer holds, as it stands in the address."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    issuer: str | None


def callback_of(base_url: str, provider: Provider) -> str:
    """One for each provider, so that no provider can pass another's answer off as its own."""
    return f"{base_url}{ADDRESS}/{provider.name}/callback"


def consent_url(provider: Provider, base_url: str, *, scopes: Sequence[str], state: str, verifier: str) -> str:
    """Where the user consents, and from where they come back under `state`."""
    known = provider.known
    asked = {"response_type": "code", "client_id": provider.client_id, "redirect_uri": callback_of(base_url, provider), "state": state}
    if scopes:
        asked[known.scope_name] = known.separator.join(scopes)
    if known.pkce:
        asked |= {"code_challenge": _challenge(verifier), "code_challenge_method": "S256"}
    address = urlsplit(known.authorize_url or "")
    return urlunsplit(address._replace(query=urlencode([*parse_qsl(address.query), *{**known.params, **asked}.items()])))


def _challenge(verifier: str) -> str:
    """RFC 7636, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
