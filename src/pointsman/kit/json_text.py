"""JSON as the database keeps it in text: compact, and with every character as itself."""

from __future__ import annotations

import json
from typing import Any


def encode(value: object) -> str:
    """The text of a value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> Any:
    """The value of a text."""
    return json.loads(text)
