"""Identifiers: the ones we make carry their kind and sort by time; the ones callers choose match one pattern."""

from __future__ import annotations

import re
import secrets
import time
from typing import Annotated

from pydantic import StringConstraints

CHOSEN_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$"
ChosenId = Annotated[str, StringConstraints(pattern=CHOSEN_ID)]

_chosen = re.compile(CHOSEN_ID)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(number: int, width: int) -> str:
    """The number in base 62, padded with zeros to `width` digits."""
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits)).rjust(width, "0")


def new_id(kind: str) -> str:
    """`<kind>_` and 22 base62 digits: 48 bits of milliseconds, then 80 random bits, so that ids sort by time."""
    return f"{kind}_{base62(time.time_ns() // 1_000_000 << 80 | secrets.randbits(80), 22)}"


def is_chosen_id(value: str) -> bool:
    """Whether a caller may use this as an identifier."""
    # `$` would accept a trailing newline, which fullmatch does not.
    return _chosen.fullmatch(value) is not None
