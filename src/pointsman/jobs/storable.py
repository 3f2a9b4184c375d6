"""What programs print may hold characters that PostgreSQL keeps in no text: they become replacement characters, never an error."""

from __future__ import annotations

import re
from typing import Any, cast

from pointsman.kit import json_text

# As JSON writes them: an escaped NUL or surrogate (also one of a good pair, which is then read and left as it is).
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|[\ud800-\udfff]")
_REPLACEMENT = "�"


def storable_text(text: str | None) -> str | None:
    """The text without NUL and lone surrogates."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", _REPLACEMENT)


def storable_json(text: str | None) -> str | None:
    """The same for a JSON text, which a jsonb column has to take."""
    if text is None or _SUSPICIOUS.search(text) is None:
        return text
    return json_text.encode(_cleaned(json_text.decode(text)))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(name): _cleaned(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in cast("list[Any]", value)]
    return value
