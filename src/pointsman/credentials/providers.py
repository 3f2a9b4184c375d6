"""The OAuth providers that are known, as data; the operator's settings add clients, change addresses and name others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pointsman.credentials.errors import OAuthProviderNotConfigured, OAuthProviderNotFound
from pointsman.settings import OAuthSettings


@dataclass(frozen=True, slots=True)
class Known:
    """Where a provider issues and revokes tokens, how clients tell it who they are, and how users consent.

    `scopes` are asked for where nobody says which, `always` besides any. `issuer` is compared with the `iss` of an answer that has one,
    and with `announces_issuer` an answer must have one. `within` names the part of an answer that is the user's.
    """

    token_url: str
    revoke_url: str | None = None
    title: str = ""
    auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_post"
    authorize_url: str | None = None
    scopes: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    scope_name: str = "scope"
    separator: str = " "
    pkce: bool = True
    issuer: str | None = None
    announces_issuer: bool = False
    sends_json: bool = False
    within: str | None = None


KNOWN: Mapping[str, Known] = {
    # A refresh token comes with `offline` alone, and for who consented before only when asked again.
    "google": Known(
        "https://oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com/revoke",
        "Google",
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
        scopes=("openid", "email", "profile"),
        params={"access_type": "offline", "prompt": "consent"},
        issuer="https://accounts.google.com",
    ),
    "microsoft": Known(
        "https://login.microsoftonline.com/common/oauth2/v2.0/token",
        title="Microsoft",
        authorize_url="https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        scopes=("User.Read",),
        always=("offline_access",),
        params={"response_mode": "query"},
    ),
    # What is asked for as `scope` would be granted to a bot. PKCE has to be switched on there, and then no secret is taken.
    "slack": Known(
        "https://slack.com/api/oauth.v2.access",
        "https://slack.com/api/auth.revoke",
        "Slack",
        authorize_url="https://slack.com/oauth/v2/authorize",
        scopes=("users:read",),
        scope_name="user_scope",
        separator=",",
        pkce=False,
        within="authed_user",
    ),
    "github": Known(
        "https://github.com/login/oauth/access_token",
        title="GitHub",
        authorize_url="https://github.com/login/oauth/authorize",
        scopes=("read:user",),
    ),
    "notion": Known(
        "https://api.notion.com/v1/oauth/token",
        title="Notion",
        auth="client_secret_basic",
        authorize_url="https://api.notion.com/v1/oauth/authorize",
        params={"owner": "user"},
        pkce=False,
        sends_json=True,
    ),
    "atlassian": Known(
        "https://auth.atlassian.com/oauth/token",
        title="Atlassian",
        authorize_url="https://auth.atlassian.com/authorize",
        scopes=("read:me",),
        always=("offline_access",),
        params={"audience": "api.atlassian.com", "prompt": "consent"},
        pkce=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider with the operator's client at it."""

    name: str
    known: Known
    client_id: str
    client_secret: str = field(repr=False)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.known.title or self.name


class Providers:
    """The providers that the settings name, over those that are known."""

    def __init__(self, settings: Mapping[str, OAuthSettings]) -> None:
        self._settings = {name.lower(): section for name, section in settings.items()}

    def find(self, name: str) -> Provider | None:
        """A provider with a client, None where there is none."""
        section, known = self._settings.get(name), KNOWN.get(name)
        if section is None or section.client_id is None or section.client_secret is None:
            return None
        token_url = section.token_url or (known.token_url if known else None)
        if token_url is None:
            return None
        return Provider(name, _merged(known or Known(token_url), section), section.client_id, section.client_secret.get_secret_value())

    def require_consenting(self, name: str) -> Provider:
        """One at which users can consent. Raises OAuthProviderNotFound, OAuthProviderNotConfigured."""
        provider = self.require(name)
        if provider.known.authorize_url is None:
            variable = f"POINTSMAN_OAUTH__{name.upper()}__AUTHORIZE_URL"
            raise OAuthProviderNotConfigured(
                f"It is not known where users of the OAuth provider {name} consent.", hint=f"An operator sets {variable}."
            )
        return provider

    def require(self, name: str) -> Provider:
        """The same as `find`. Raises OAuthProviderNotFound, OAuthProviderNotConfigured."""
        provider = self.find(name)
        if provider is not None:
            return provider
        if name not in KNOWN and name not in self._settings:
            names = ", ".join(sorted({*KNOWN, *self._settings}))
            raise OAuthProviderNotFound(f"There is no OAuth provider {name}.", hint=f"There are {names}; an operator adds others.")
        variable = f"POINTSMAN_OAUTH__{name.upper()}__"
        needed = f"{variable}CLIENT_ID and {variable}CLIENT_SECRET" + ("" if name in KNOWN else f" and {variable}TOKEN_URL")
        raise OAuthProviderNotConfigured(f"The OAuth provider {name} has no client here.", hint=f"An operator sets {needed}.")


def _merged(known: Known, section: OAuthSettings) -> Known:
    """What is known, with the operator's word above it."""
    return replace(
        known,
        token_url=section.token_url or known.token_url,
        revoke_url=section.revoke_url or known.revoke_url,
        authorize_url=section.authorize_url or known.authorize_url,
        scopes=section.scopes or known.scopes,
        params={**known.params, **section.authorize_params},
        pkce=known.pkce if section.pkce is None else section.pkce,
        issuer=section.issuer or known.issuer,
        announces_issuer=section.issuer is not None,
    )
