"""Where a document's operations are called."""

from __future__ import annotations

import re
from typing import Any, cast

from pointsman.kit.problems import FieldError
from pointsman.tools.openapi.errors import OpenApiDocumentRefused

LONGEST = 2048
_VARIABLE = re.compile(r"\{([^{}]*)\}")


def server_of(root: dict[str, Any], given: str | None) -> str:
    """The address that paths are appended to, without a slash at its end: the given one, else the document's first server.

    Whether it may be asked is for the way out to say. Raises OpenApiDocumentRefused.
    """
    url = given if given is not None else _first(root)
    place = "/server_url" if given is not None else "/document/servers/0/url"
    if url is None or not url.lower().startswith(("http://", "https://")):
        raise _refused("/server_url", "The document names no absolute server.", hint="Give server_url, such as https://api.example.com/v1.")
    if len(url) > LONGEST or any(mark in url for mark in "?#{}\\"):
        raise _refused(place, "A server's address has no query, fragment, backslash or braces.")
    path = url.partition("://")[2].partition("/")[2]
    if any(step in {".", ".."} for step in path.split("/")):
        raise _refused(place, "A server's address has no steps of dots.")
    return url.rstrip("/")


def _first(root: dict[str, Any]) -> str | None:
    """The document's first server, with its variables at their defaults."""
    servers: Any = root.get("servers")
    if not isinstance(servers, list) or not servers or not isinstance(first := cast("list[Any]", servers)[0], dict):
        return None
    server = cast("dict[str, Any]", first)
    url: Any = server.get("url")
    variables: Any = server.get("variables", {})
    return _VARIABLE.sub(lambda found: _default(variables, found), url) if isinstance(url, str) else None


def _default(variables: Any, found: re.Match[str]) -> str:
    variable: Any = cast("dict[str, Any]", variables).get(found[1]) if isinstance(variables, dict) else None
    default: Any = cast("dict[str, Any]", variable).get("default") if isinstance(variable, dict) else None
    return default if isinstance(default, str) else found[0]


def _refused(pointer: str, message: str, *, hint: str = "") -> OpenApiDocumentRefused:
    return OpenApiDocumentRefused(message, hint=hint, errors=(FieldError(pointer, message),))
