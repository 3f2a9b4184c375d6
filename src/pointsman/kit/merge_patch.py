"""JSON merge patches, RFC 7396."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Objects merge, null removes, everything else replaces."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = merge_patch(cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}, cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged
