"""Wires users' tokens, and what keeps them fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.credentials.connecting import ConnectService
from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.service import TokenService
from pointsman.credentials.use_log import UseLog
from pointsman.credentials.using import CredentialUse
from pointsman.tools.references import References

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


class Credentials:
    """What of users' tokens lasts as long as the gateway: provided when it is made, and to be closed."""

    def __init__(self, gateway: Gateway) -> None:
        """Give the gateway the verbs of tokens."""
        settings, db, ring = gateway.settings, gateway.db, gateway.keyring
        providers = Providers(settings.oauth)
        self._api = ProviderApi()
        self._uses = UseLog(db)
        refresher = Refresher(db, ring, providers, self._api, gateway.listener)
        use = CredentialUse(refresher, ring, providers, gateway.listener, self._uses.note)
        gateway.provide(
            TokenService(db, ring, providers, self._api, refresher),
            ConnectService(db, ring, providers, self._api, settings.public_url or settings.approvals.links_url),
            use,
            References(use, settings.secrets),
        )
        gateway.loops.add("credentials.uses", self._uses.run)

    async def flush(self) -> None:
        """Store what is pending."""
        await self._uses.flush()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._api.aclose()
