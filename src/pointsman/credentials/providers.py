"""The OAuth providers that are known, as data; the operator's settings add clients, change addresses and name others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pointsman.credentials.errors import OAuthProviderNotConfigured, OAuthProviderNotFound
from pointsman.settings import OAuthSettings


@dataclass(frozen=True, slots=True)
class Known:
    """Where a provider issues and revokes tokens, and how clients tell it who they are."""

    token_url: str
    revoke_url: str | None = None
    auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_post"


KNOWN: Mapping[str, Known] = {
    "google": Known("https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/revoke"),
    "microsoft": Known("https://login.microsoftonline.com/common/oauth2/v2.0/token"),
    "slack": Known("https://slack.com/api/oauth.v2.access", "https://slack.com/api/auth.revoke"),
    "github": Known("https://github.com/login/oauth/access_token"),
    "notion": Known("https://api.notion.com/v1/oauth/token", auth="client_secret_basic"),
    "atlassian": Known("https://auth.atlassian.com/oauth/token"),
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider with the operator's client at it."""

    name: str
    known: Known
    client_id: str
    client_secret: str = field(repr=False)


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
        auth = known.auth if known else "client_secret_post"
        merged = Known(token_url, section.revoke_url or (known.revoke_url if known else None), auth)
        return Provider(name, merged, section.client_id, section.client_secret.get_secret_value())

    def require(self, name: str) -> Provider:
        """The same. Raises OAuthProviderNotFound, OAuthProviderNotConfigured."""
        provider = self.find(name)
        if provider is not None:
            return provider
        if name not in KNOWN and name not in self._settings:
            names = ", ".join(sorted({*KNOWN, *self._settings}))
            raise OAuthProviderNotFound(f"There is no OAuth provider {name}.", hint=f"There are {names}; an operator adds others.")
        variable = f"POINTSMAN_OAUTH__{name.upper()}__"
        needed = f"{variable}CLIENT_ID and {variable}CLIENT_SECRET" + ("" if name in KNOWN else f" and {variable}TOKEN_URL")
        raise OAuthProviderNotConfigured(f"The OAuth provider {name} has no client here.", hint=f"An operator sets {needed}.")
