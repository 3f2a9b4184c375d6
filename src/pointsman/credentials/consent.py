"""The addresses of a consent: where a user is sent to, where the provider sends them back to, and what it says there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    # Not at the start, which need not wait for them.
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # noqa: PLC0415
    from authlib.oauth2.rfc7636 import create_s256_code_challenge  # noqa: PLC0415

    known = provider.known
    params = dict(known.params)
    if scopes:
        params[known.scope_name] = known.separator.join(scopes)
    if known.pkce:
        params |= {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
    return prepare_grant_uri(
        known.authorize_url, provider.client_id, "code", redirect_uri=callback_of(base_url, provider), state=state, **params
    )
