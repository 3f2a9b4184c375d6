"""Users' tokens for other systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from pointsman.client.transport import Transport


class Token(TypedDict):
    """A token, without its secret."""

    user_id: str
    integration_key: str
    provider: str
    token_type: str
    scopes: list[str]
    expires_at: str | None
    created_at: str
    updated_at: str
    is_active: bool
    status: str


class RevealedToken(Token):
    """A token with its secret."""

    token_data: dict[str, Any]


class TokenUse(TypedDict):
    """That a token was used."""

    at: str
    provider: str
    run_id: str
    tool: str


class Connect(TypedDict):
    """A user's way to connecting an account, and what came of it."""

    id: str
    user_id: str
    integration_key: str
    provider: str
    scopes: list[str]
    status: str
    failure: str | None
    created_at: str
    expires_at: str


class OpenedConnect(Connect):
    """One that was just opened; `url` is for the user's browser, and not told again."""

    url: str


class Tokens:
    """`/v2/users/{user_id}/tokens`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, user_id: str, *, most: int | None = None) -> Iterator[Token]:
        """By integration key."""
        return self._transport.pages("v2", "users", user_id, "tokens", most=most)

    def put(self, user_id: str, integration_key: str, body: Mapping[str, Any]) -> Token:
        """Store one, in the place of one that is there."""
        return self._transport.call("PUT", "v2", "users", user_id, "tokens", integration_key, body=body)

    def read(self, user_id: str, integration_key: str) -> Token:
        """One of them."""
        return self._transport.call("GET", "v2", "users", user_id, "tokens", integration_key)

    def reveal(self, user_id: str, integration_key: str) -> RevealedToken:
        """One of them with its secret; the log of changes remembers it."""
        return self._transport.call("POST", "v2", "users", user_id, "tokens", integration_key, "reveal")

    def refresh(self, user_id: str, integration_key: str) -> Token:
        """Have the provider renew it."""
        return self._transport.call("POST", "v2", "users", user_id, "tokens", integration_key, "refresh")

    def delete(self, user_id: str, integration_key: str) -> None:
        """Have it revoked where that is possible, and forget it."""
        self._transport.call("DELETE", "v2", "users", user_id, "tokens", integration_key)

    def uses(self, user_id: str, integration_key: str, *, most: int | None = None) -> Iterator[TokenUse]:
        """Which runs and tools used it, newest first."""
        return self._transport.pages("v2", "users", user_id, "tokens", integration_key, "uses", most=most)

    def connect(self, user_id: str, provider: str, body: Mapping[str, Any] | None = None) -> OpenedConnect:
        """Open a way for the user to connect an account."""
        return self._transport.call("POST", "v2", "users", user_id, "tokens", "connect", provider, body=body or {})

    def connected(self, user_id: str, connect_id: str) -> Connect:
        """What came of it."""
        return self._transport.call("GET", "v2", "users", user_id, "connects", connect_id)
