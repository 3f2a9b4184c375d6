"""The form of a key: `pm_`, 43 base62 digits of 32 random bytes, and 6 of their CRC32."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

from pointsman.kit.ids import base62

PREFIX = "pm_"
_BODY = 43  # 62**43 > 2**256
_CHECK = 6  # 62**6 > 2**32
_form = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY + _CHECK}}}")


def new_key() -> str:
    """A key that nobody has seen yet, in plaintext: show it once, store only its `digest`."""
    body = PREFIX + base62(int.from_bytes(secrets.token_bytes(32)), _BODY)
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether the checksum holds, so that junk and typos are turned away without asking the database."""
    return _form.fullmatch(key) is not None and _checksum(key[:-_CHECK]) == key[-_CHECK:]


def digest(key: str) -> str:
    """SHA-256 in hex, the only thing that is stored. A fast hash will do: there are 256 random bits to guess."""
    return hashlib.sha256(key.encode()).hexdigest()


def hint(key: str) -> str:
    """The first characters, by which a person recognises a key in a list; 232 random bits stay unknown."""
    return key[: len(PREFIX) + 4] + "…"


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), _CHECK)
