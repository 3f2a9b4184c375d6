"""What may be shown of a provider's own words: bounded, on one line, without anything that looks like a key."""

from __future__ import annotations

import re

from pointsman.kit.scrubbing import HIDDEN, scrub_text

# Providers quote a wrong key half masked: `sk-abc*****xyz`.
_HALF_MASKED = re.compile(r"\b[A-Za-z]{2,6}[-_][^\s'\",;)}\]]*\*{3,}[^\s'\",;)}\]]*|\bsk-[^\s'\",;)}\]]{4,}")
_LONGEST = 400


def scrub(text: str, secret: str | None = None) -> str:
    """`text` without the given secret and without anything keylike, trimmed to one bounded line."""
    if secret:
        text = text.replace(secret, HIDDEN)
    line = " ".join(_HALF_MASKED.sub(HIDDEN, scrub_text(text[: _LONGEST * 4])).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
