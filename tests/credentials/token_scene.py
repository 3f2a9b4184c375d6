"""Callers and tokens."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pointsman.credentials.schemas import TokenPut
from pointsman.kit.principal import Principal

SECRET = "hush-hush-secret"


def caller(tenant: str | None = None) -> Principal:
    return Principal(key_id=1, key_name="k", owner_id=tenant, scopes=frozenset({"admin"}), tenant=tenant)


def api_key(secret: str = SECRET, **more: Any) -> TokenPut:
    return TokenPut(provider="github", token_type="api_key", token_data={"api_key": secret}, **more)


def oauth(secret: str = SECRET, *, refresh: str | None = None, expires_in: float | None = None, provider: str = "fake") -> TokenPut:
    data = {"access_token": secret} | ({"refresh_token": refresh} if refresh else {})
    expires = None if expires_in is None else dt.datetime.now(dt.UTC) + dt.timedelta(seconds=expires_in)
    return TokenPut(provider=provider, token_type="oauth2", token_data=data, expires_at=expires)
