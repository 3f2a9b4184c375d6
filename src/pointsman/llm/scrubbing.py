"""What may be shown of a provider's own words: bounded, on one line, without anything that looks like a key."""

from __future__ import annotations

import re

_KEYLIKE = re.compile(r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|pm|gsk|xai|key|AIza)[-_*][^\s'\",;)}\]]{4,}|AIza[\w-]{10,}|[A-Za-z0-9_-]{40,})")
_LONGEST = 400


def scrub(text: str, secret: str | None = None) -> str:
    """`text` without the given secret and without anything keylike, trimmed to one bounded line."""
    if secret:
        text = text.replace(secret, "[key]")
    line = " ".join(_KEYLIKE.sub("[key]", text[: _LONGEST * 4]).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
