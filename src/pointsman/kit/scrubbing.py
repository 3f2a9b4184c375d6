"""Takes secrets out of anything that is about to be written down: by what they look like, by their name, and by their value."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any, cast
from urllib.parse import quote

from pydantic import SecretStr

HIDDEN = "***"

_MAX_DEPTH = 8
_SHORTEST = 6
_known: list[str] = []

# A name says that its value is secret, unless it goes on to say that it only tells something about it.
_SECRET_NAME = re.compile(
    r"(?:token|secret|password|passwd|passphrase|api[-_]?key|private[-_]?key|credential|authorization|cookie)s?"
    r"(?!.*(?:_id|_ids|_type|_name|_kind|_count|_limit|_at|_usage)$)",
    re.IGNORECASE,
)
_SECRET_HEADER = re.compile(r"(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?(?:goog-)?api-key|x-[a-z-]*token", re.IGNORECASE)
# No pattern begins with a repetition: a long text is read once, whatever is in it.
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\bpm_[0-9A-Za-z]{16,}"), f"pm_{HIDDEN}"),
    (re.compile(r"\bgAAAA[0-9A-Za-z_-]{20,}={0,2}"), HIDDEN),
    (re.compile(r"\b(?:sk|rk|pk)-[0-9A-Za-z_-]{12,}"), f"sk-{HIDDEN}"),
    (
        re.compile(r"\b(?:AIza[0-9A-Za-z_-]{20,}|gh[a-z]_[0-9A-Za-z]{20,}|github_pat_\w{20,}|xox[a-z]-[0-9A-Za-z-]{10,}|AKIA[0-9A-Z]{16})"),
        HIDDEN,
    ),
    (re.compile(r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"), HIDDEN),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[^-]*"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(r"""((?:authorization|x-(?:goog-)?api-key|cookie)b?['"]?\s{0,3}[:=,]\s{0,3}b?['"]?)[^'"\r\n]+""", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s'\",;]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"""((?:token|secret|password|passwd|passphrase|api[-_]?key|private[-_]?key)\\?['"]?\s{0,3}[:=]\s{0,3}b?\\?['"]?)[^\s'"&,;}\\]+""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)


# What any of the patterns needs to be there at all: most texts have none of it and are done after one look.
_SUSPECT = re.compile(
    r"pm_|gAAAA|[srp]k-|AIza|gh[a-z]_|github_pat_|xox|AKIA|eyJ|-----BEGIN|://|authorization|cookie|api[-_]?key|private[-_]?key|bearer|basic"
    r"|token|secret|passw|passphrase",
    re.IGNORECASE,
)
_SHORT = 100


def register_secret(*secrets: str | SecretStr | None) -> None:
    """Never let these values through again, whatever they look like. Values shorter than six characters would hide half of every text."""
    for secret in secrets:
        value = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if value and len(value) >= _SHORTEST:
            # Longest first, so that a secret which begins like another one goes as a whole.
            _known[:] = sorted({*_known, value, quote(value), quote(value, safe="")}, key=len, reverse=True)
            _scrub_short.cache_clear()


def spellings(secret: str) -> frozenset[str]:
    """How a secret may come back from whoever was sent it: as it is, percent-encoded, within JSON or HTML, and within something in base64.

    In base64 only its inner bytes are known, since its neighbours share the outer characters. Nothing for secrets of less than six
    characters, which would hide half of every text.
    """
    if len(secret) < _SHORTEST:
        return frozenset()
    raw = secret.encode()
    in_json = json.dumps(secret)[1:-1]
    found = {secret, quote(secret), quote(secret, safe=""), in_json, in_json.replace("/", "\\/"), escape(secret)}
    for shift in range(3):
        inner = raw[(3 - shift) % 3 :]
        whole = inner[: len(inner) // 3 * 3]
        if len(whole) >= _SHORTEST:
            found |= {base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()}
    return frozenset(found)


def scrub_text(text: str) -> str:
    """The text without what looks like a secret or was registered as one."""
    return _scrub_short(text) if len(text) <= _SHORT else _scrub_text(text)


def scrub(value: Any) -> Any:
    """A copy that is JSON and holds no secret: values under telling names, and texts at every depth."""
    return _scrubbed(value, hide=False, depth=0)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field or header of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def _scrub_text(text: str) -> str:
    for value in _known:
        if value in text:
            text = text.replace(value, HIDDEN)
    if _SUSPECT.search(text) is None:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


# Names of fields, routes, statuses: the same few texts stand in every line.
_scrub_short = lru_cache(maxsize=4096)(_scrub_text)


def _scrubbed(value: Any, *, hide: bool, depth: int) -> Any:
    match value:
        case None | bool() | int() | float():
            return str(value) if isinstance(value, float) and not math.isfinite(value) else value
        case Mapping() if depth <= _MAX_DEPTH:
            return _mapping(cast("Mapping[Any, Any]", value), hide=hide, depth=depth)
        case list() | tuple() | set() | frozenset() if depth <= _MAX_DEPTH:
            return _items(list(cast("Sequence[Any]", value)), hide=hide, depth=depth)
        case _ if hide or isinstance(value, SecretStr) or depth > _MAX_DEPTH:
            return HIDDEN
        case _:
            return scrub_text(_text(value))


def _mapping(values: Mapping[Any, Any], *, hide: bool, depth: int) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for key, value in values.items():
        name = _text(key)
        cleaned[scrub_text(name)] = _scrubbed(value, hide=hide or is_secret_name(name), depth=depth + 1)
    return cleaned


def _items(values: Sequence[Any], *, hide: bool, depth: int) -> list[Any]:
    # Raw headers come as pairs of a name and a value.
    pair = len(values) == 2 and isinstance(values[0], (str, bytes)) and _SECRET_HEADER.fullmatch(_text(values[0])) is not None
    return [_scrubbed(value, hide=hide or (pair and index == 1), depth=depth + 1) for index, value in enumerate(values)]


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case dt.datetime() | dt.date():
            return value.isoformat()
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case _:
            return str(value)
