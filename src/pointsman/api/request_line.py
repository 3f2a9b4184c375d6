"""The path and query before anything looks at them: text in UTF-8 without control characters, of a bearable length."""

from __future__ import annotations

import re
import urllib.parse

from starlette.types import Scope

from pointsman.api.problems import MalformedRequest
from pointsman.kit.problems import Kind, Problem

LONGEST_PATH = 1024
LONGEST_QUERY = 8192

_PLAIN = re.compile(rb"[!-$&-~]*")  # printable ASCII without the percent sign
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class AddressTooLong(Problem):
    """The path or the query of the request is longer than any that this gateway could have an answer for."""

    kind = Kind.TOO_LARGE
    code = "address-too-long"
    title = "The address is too long"


def check(scope: Scope) -> bytes:
    """Refuse what cannot be read. Returns the undecoded path, which routing goes by."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    if len(path) > LONGEST_PATH:
        raise AddressTooLong(f"The path has {len(path)} bytes; the longest that is read has {LONGEST_PATH}.")
    if len(query) > LONGEST_QUERY:
        raise AddressTooLong(f"The query has {len(query)} bytes; the longest that is read has {LONGEST_QUERY}.")
    if not _PLAIN.fullmatch(path):
        # The server has decoded it leniently for `scope["path"]`; this one is strict.
        scope["path"] = _decoded(path, "path")
    if not _PLAIN.fullmatch(query):
        _decoded(query.replace(b"+", b" "), "query")
    return path


def _decoded(raw: bytes, part: str) -> str:
    if not raw.isascii():
        raise MalformedRequest(f"The {part} holds bytes that must be percent-encoded.")
    try:
        text = urllib.parse.unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise MalformedRequest(f"The {part} is not UTF-8 when decoded.") from None
    if _CONTROL.search(text):
        raise MalformedRequest(f"The {part} holds a control character.")
    return text
