"""How a token's data is encrypted: with the row it belongs to inside the ciphertext, so that it is good for no other row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.kit.crypto import KeyRing


def stored_user(tenant: str, user_id: str) -> str:
    """A user as the table has it: `<tenant>/<user>`, in the operator's own tenant the plain id."""
    return f"{tenant}/{user_id}" if tenant else user_id


def identity(stored: str, integration_key: str, provider: str) -> str:
    """The row that a ciphertext is for; none of the three can hold what separates them here."""
    return "user_tokens/" + msgspec.json.encode((stored, integration_key, provider)).decode()


def seal(ring: KeyRing, data: Mapping[str, Any], row: str) -> str:
    """The ciphertext of a token's data for one row, named by `identity`."""
    return ring.encrypt(msgspec.json.encode(data), row)


def unseal(ring: KeyRing, ciphertext: str, row: str) -> dict[str, Any]:
    """The data. Raises SecretUnreadable for a ciphertext of another row or of a lost key."""
    return msgspec.json.decode(ring.decrypt(ciphertext, row), type=dict[str, Any])
