"""Wires users' tokens, and what keeps them fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.credentials.provider_api import ProviderApi
from pointsman.credentials.providers import Providers
from pointsman.credentials.refreshing import Refresher
from pointsman.credentials.service import TokenService
from pointsman.credentials.use_log import UseLog
from pointsman.credentials.using import CredentialUse
from pointsman.tools.references import References

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_credentials(gateway: Gateway) -> ProviderApi:
    """Give the gateway the verbs of tokens; what is returned is to be closed."""
    providers, api = Providers(gateway.settings.oauth), ProviderApi()
    refresher = Refresher(gateway.db, gateway.keyring, providers, api, gateway.listener)
    use = CredentialUse(refresher, gateway.keyring, providers, gateway.listener, UseLog().note)
    gateway.provide(TokenService(gateway.db, gateway.keyring, providers, api, refresher), use, References(use, gateway.settings.secrets))
    return api
