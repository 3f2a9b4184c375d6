"""What a model calls a tool from elsewhere: `<source>__<tool>`, in the characters and the length that every provider takes."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 64
_HASHED = 8  # hex digits
_TAKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


def model_name(source: str, tool: str) -> str:
    """The same for the same two, whatever else there is. Where a name has to be changed it ends in a hash, so that no two are made one."""
    name = f"{source}__{tool}"
    if _TAKEN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_HASHED]
    return f"{_OTHERS.sub('_', name)[: _LONGEST - _HASHED - 1]}_{digest}"
