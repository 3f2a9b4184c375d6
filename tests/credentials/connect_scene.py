"""People with browsers, the gateway's pages, and a provider in a process of its own at which they consent."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr
from tests.api.edge_scene import SmallGateway, client_of, make_key
from tests.credentials.oauth_scene import listening, refresher_of

from pointsman.api.app import create_app
from pointsman.api.door import Door
from pointsman.credentials import connect_routes
from pointsman.credentials import routes as token_routes
from pointsman.credentials.connecting import ConnectService
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.service import TokenService
from pointsman.kit.db import Connection, Database
from pointsman.settings import OAuthSettings, Settings

PUBLIC = "http://people.test"
ISSUER = "https://issuer.test"


class Browser:
    """Keeps cookies, follows redirects, and shows pages to somebody who presses the button."""

    def __init__(self, app: Door | None = None) -> None:
        """With an application it answers for `PUBLIC`, else everything is reached by the network."""
        inside = {} if app is None else {PUBLIC: httpx.ASGITransport(app=app, raise_app_exceptions=False)}
        self.http = httpx.AsyncClient(
            mounts=inside, headers={"accept": "text/html,*/*"}, follow_redirects=True, trust_env=False, timeout=20
        )

    async def press(self, page: httpx.Response) -> httpx.Response:
        """Send the page's form to where the page came from."""
        form = re.search(r'name="form" value="([^"]+)"', page.text)
        assert form is not None, page.text
        return await self.http.post(page.url, data={"form": html.unescape(form[1])})

    async def consent(self, url: str) -> httpx.Response:
        """All the way from the link to where the provider sends back to."""
        going = await self.press(await self.http.get(url))
        return await self.http.get(way_of(going))


def way_of(going: httpx.Response) -> str:
    """The provider's address on the page that leads there."""
    found = re.search(r'content="0;url=([^"]+)"', going.text)
    assert found is not None, going.text
    return html.unescape(found[1])


@dataclass
class Scene:
    """The tenants acme and other, and the provider `fake`."""

    app: Door
    owner: Connection
    tokens: TokenService
    provider_url: str
    keys: dict[str, str]
    browsers: list[Browser] = field(default_factory=list[Browser])

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.app))
        return self.browsers[-1]

    async def call(self, method: str, path: str, *, tenant: str = "acme", body: Any = None) -> httpx.Response:
        async with client_of(self.app, self.keys[tenant]) as client:
            return await client.request(method, path, json=body)

    async def opened(self, *scopes: str, user: str = "ann", tenant: str = "acme") -> dict[str, Any]:
        """A connect with its link."""
        answer = await self.call("POST", f"/v2/users/{user}/tokens/connect/fake", tenant=tenant, body={"scopes": list(scopes) or None})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def status(self, connect: dict[str, Any]) -> tuple[str, str | None]:
        read = (await self.call("GET", f"/v2/users/{connect['user_id']}/connects/{connect['id']}")).json()
        return read["status"], read["failure"]

    async def seen(self) -> dict[str, Any]:
        """What the provider was asked."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.provider_url}/seen")).json()

    async def stored(self) -> list[tuple[str, str]]:
        rows = await self.owner.fetch("SELECT user_id, integration_key FROM user_tokens ORDER BY 1, 2")
        return [(row["user_id"], row["integration_key"]) for row in rows]


@asynccontextmanager
async def connecting(settings: Settings, db: Database, owner: Connection, *, public: str | None = PUBLIC) -> AsyncGenerator[Scene]:
    gateway, api = SmallGateway(settings, db), ProviderApi()
    async with listening("consent_provider.py") as url:
        section = OAuthSettings(
            client_id="me",
            client_secret=SecretStr("client-hush"),
            token_url=f"{url}/token",
            authorize_url=f"{url}/authorize",
            authorize_params={"prompt": "consent"},
            scopes=("usual",),
            issuer=ISSUER,
        )
        providers = Providers({"fake": section, "half": OAuthSettings(client_id="me", client_secret=SecretStr("x"), token_url=f"{url}/t")})
        tokens = TokenService(db, gateway.keyring, providers, api, refresher_of(db, gateway.keyring, api, providers))
        gateway.services |= {TokenService: tokens, ConnectService: ConnectService(db, gateway.keyring, providers, api, public)}
        app = create_app(gateway, [token_routes.router, connect_routes.router, *connect_routes.routes])
        keys = {tenant: await make_key(owner, "tokens:write", "tokens:read", owner_id=tenant) for tenant in ("acme", "other")}
        scene = Scene(app, owner, tokens, url, keys)
        try:
            yield scene
        finally:
            for browser in scene.browsers:
                await browser.http.aclose()
            await api.aclose()
