"""JSON as the database keeps it in text: compact, and with every character as itself."""

from __future__ import annotations

import json
import string
from typing import Any


def encode(value: object) -> str:
    """The text of a value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> Any:
    """The value of a text."""
    return json.loads(text)


def unfenced(text: str) -> str:
    """JSON without the code fence that models without structured output like to put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and len(stripped) > 6:
        return stripped[3:-3].lstrip(string.ascii_letters).strip()
    return stripped
