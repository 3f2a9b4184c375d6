"""The hash that a decision is bound to: of the arguments as canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(args: Mapping[str, Any]) -> str:
    """JSON with sorted keys, without spaces, every character as itself: equal arguments have equal texts."""
    return json.dumps(args, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def sha256_of(args: Mapping[str, Any]) -> str:
    """Of the canonical JSON in UTF-8, in hex; half of an emoji, which some models write, counts as a replacement character."""
    return hashlib.sha256(canonical(args).encode("utf-8", "replace")).hexdigest()
