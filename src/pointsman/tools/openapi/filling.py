"""Arguments put where their operation wants them, encoded so that none can leave its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, unquote

import msgspec

from pointsman.tools.openapi.compiling import BODY
from pointsman.tools.openapi.rows import Operation, Parameter

_ACCEPT = "application/json, */*;q=0.5"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_HEADERS = re.compile(r"[^\x20-\x7e]")
_STEPS = re.compile(r"[/\\]")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_DECODED = 3  # times that somebody on the way may decode what was encoded once


class ArgumentRefusedError(ValueError):
    """An argument cannot be sent; the text says which and why, for the model."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, without the headers of the registration; `url` is whole."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


def build_request(server_url: str, operation: Operation, args: Mapping[str, Any]) -> Request:
    """The request for arguments that fit the operation's schema. Raises ArgumentRefusedError."""
    placed: dict[str, dict[str, str]] = {"path": {}, "header": {}}
    query: list[str] = []
    for parameter in operation.parameters:
        value = args.get(parameter.argument)
        if value is None:
            if parameter.where == "path":
                raise ArgumentRefusedError(f"{parameter.argument} must not be null.")
            continue
        if parameter.where == "query":
            query += _in_query(parameter, value)
        else:
            place = _in_path if parameter.where == "path" else _in_header
            placed[parameter.where][parameter.name] = place(parameter, value)
    path = _TEMPLATE.sub(lambda found: placed["path"][found[1]], operation.path)
    if any(_leads_elsewhere(unquote(step)) for step in path.split("/")):
        raise ArgumentRefusedError("The arguments would make a path that leads elsewhere.")
    headers = {"Accept": _ACCEPT, **placed["header"]}
    body = None
    if operation.media is not None and BODY in args:
        body = msgspec.json.encode(args[BODY])
        headers["Content-Type"] = operation.media
    return Request(operation.method, f"{server_url}{path}{'?' if query else ''}{'&'.join(query)}", headers, body)


def _in_path(parameter: Parameter, value: Any) -> str:
    text = _simple(parameter, value, encoded=False)
    decoded = text
    for _ in range(_DECODED + 1):
        if not decoded or _CONTROL.search(decoded) or any(_leads_elsewhere(step) for step in _STEPS.split(decoded)):
            raise ArgumentRefusedError(f"{parameter.argument} is empty, leads elsewhere or holds control characters.")
        decoded = unquote(decoded)
    return _simple(parameter, value, encoded=True)


def _leads_elsewhere(step: str) -> bool:
    # Some servers take what follows a semicolon for no part of the step.
    return step.partition(";")[0].strip() in {".", ".."}


def _in_header(parameter: Parameter, value: Any) -> str:
    text = _simple(parameter, value, encoded=False).strip(" ")
    if _NOT_IN_HEADERS.search(text):
        raise ArgumentRefusedError(f"{parameter.argument} goes into a header, which takes printable ASCII on one line only.")
    return text


def _simple(parameter: Parameter, value: Any, *, encoded: bool) -> str:
    """OpenAPI's style `simple`: lists and objects with commas."""
    match value:
        case list():
            parts = [_text(parameter, item) for item in cast("list[Any]", value)]
            return ",".join(_encoded(part) if encoded else part for part in parts)
        case dict():
            pairs = _pairs(parameter, value)
            joint = "=" if parameter.explode else ","
            return ",".join(joint.join(_encoded(part) if encoded else part for part in pair) for pair in pairs)
        case _:
            text = _text(parameter, value)
            return _encoded(text) if encoded else text


def _in_query(parameter: Parameter, value: Any) -> list[str]:
    """OpenAPI's style `form`."""
    name = _encoded(parameter.name)
    match value:
        case list():
            parts = [_encoded(_text(parameter, item)) for item in cast("list[Any]", value)]
            return [f"{name}={part}" for part in parts] if parameter.explode else [f"{name}={','.join(parts)}"] * bool(parts)
        case dict():
            pairs = [(_encoded(key), _encoded(text)) for key, text in _pairs(parameter, value)]
            if parameter.explode:
                return [f"{key}={text}" for key, text in pairs]
            return [f"{name}={','.join(part for pair in pairs for part in pair)}"] * bool(pairs)
        case _:
            return [f"{name}={_encoded(_text(parameter, value))}"]


def _pairs(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    return [(key, _text(parameter, item)) for key, item in cast("dict[str, Any]", value).items() if item is not None]


def _text(parameter: Parameter, value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return msgspec.json.encode(value).decode()
        case _:
            raise ArgumentRefusedError(
                f"{parameter.argument} holds a list or an object within another one, for which its place has no form."
            )


def _encoded(text: str) -> str:
    return quote(text, safe="", errors="replace")
