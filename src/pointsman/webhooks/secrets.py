"""Secrets of endpoints: made here, shown once, and stored under the key ring, bound to their endpoint."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable

from pointsman.kit.crypto import KeyRing

_BYTES = 32


def make_secret() -> str:
    """`whsec_` and 32 random bytes in base64, as Standard Webhooks has it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_BYTES)).decode()}"


def seal(keyring: KeyRing, endpoint_id: str, secret: str) -> str:
    """As it is stored."""
    return keyring.encrypt(json.dumps(secret).encode(), _identity(endpoint_id))


def unseal(keyring: KeyRing, endpoint_id: str, sealed: Iterable[str]) -> list[str]:
    """The secrets that were stored for this endpoint. Raises SecretUnreadable."""
    return [json.loads(keyring.decrypt(each, _identity(endpoint_id))) for each in sealed]


def _identity(endpoint_id: str) -> str:
    return f"webhook_endpoints/{endpoint_id}"
