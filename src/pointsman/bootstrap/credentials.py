"""Wires users' tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.credentials.service import TokenService

if TYPE_CHECKING:
    from pointsman.bootstrap.gateway import Gateway


def provide_credentials(gateway: Gateway) -> None:
    """Give the gateway the verbs of tokens."""
    gateway.provide(TokenService(gateway.db, gateway.keyring))
