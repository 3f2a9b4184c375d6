"""The scan of a JSON body: what a parser would let through and PostgreSQL, or another reader, would choke on is refused here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn, cast

from pointsman.api.problems import MalformedRequest
from pointsman.kit.problems import FieldError, Kind, Problem
from pointsman.web.validation import pointer

INT64 = range(-(2**63), 2**63)
# Reading a quarter of a million values takes about 0.2 s; a body of many megabytes of `[],[],` would stop the process for seconds.
MOST_VALUES = 250_000
_LONGEST_NUMBER = 64
_BOM = b"\xef\xbb\xbf"
_STRING_OR_MARK = re.compile(r'("(?:[^"\\]|\\.)*+")|[,\[{]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class JsonRefused(Problem):
    """The body is JSON, but holds something that cannot be stored or that readers of JSON disagree about.

    That is: a NUL character, half of a surrogate pair, an integer beyond 64 bits, a number beyond what a double holds, `NaN` or
    `Infinity`, the same name twice in one object, or nesting deeper than the operator allows. `errors` says which and where.
    """

    kind = Kind.INVALID
    code = "json-refused"
    title = "The JSON holds something that is not accepted"


class _Refused(NamedTuple):
    """Stands in the parsed tree where a parser's hook met something; found again afterwards to say where it was."""

    message: str
    name: str | None = None


def scan(body: bytes, *, depth: int) -> None:
    """Let a good body pass. Raises MalformedRequest for what is no JSON, JsonRefused for the rest.

    The standard library's parser is the only quick one that tells of names given twice; for a chat's body it takes some
    microseconds. Everything else is looked for only where a cheap test says that it could be there.
    """
    if body.startswith(_BOM):
        raise MalformedRequest("The body begins with a byte order mark.", hint="Send UTF-8 without one.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    holders = body.count(b"[") + body.count(b"{")
    if holders + body.count(b",") > MOST_VALUES and _values(text) > MOST_VALUES:
        raise JsonRefused(f"The body holds more than {MOST_VALUES} values.")
    tree, refused = _parse(text, depth)
    if refused:
        _raise_refused(tree)
    if holders > depth:
        _check_depth(tree, depth)
    if b"\\u" in body:
        _check_text(tree)


def _values(text: str) -> int:
    """How many values there may be, without those commas and brackets that stand in strings."""
    return sum(1 for token in _STRING_OR_MARK.finditer(text) if token.lastindex is None)


class _Hooks:
    """What the parser calls for numbers and objects; `refused` is set once a stand-in was put into the tree."""

    __slots__ = ("refused",)

    def __init__(self) -> None:
        self.refused = False

    def refuse(self, message: str, name: str | None = None) -> _Refused:
        self.refused = True
        return _Refused(message, name)

    def integer(self, digits: str) -> int | _Refused:
        # The length first (a sign and 19 digits is the longest that fits): reading a million digits takes seconds.
        if len(digits) <= 20 and (number := int(digits)) in INT64:
            return number
        return self.refuse("This integer does not fit into 64 bits.")

    def real(self, digits: str) -> float | _Refused:
        if len(digits) <= _LONGEST_NUMBER and math.isfinite(number := float(digits)):
            return number
        return self.refuse("This number is too long, or beyond what a double holds.")

    def constant(self, name: str) -> _Refused:
        return self.refuse(f"{name} is not JSON.")

    def unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Refused:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        return self.refuse("This name is given twice.", _first_repeated(pairs))


def _parse(text: str, depth: int) -> tuple[Any, bool]:
    hooks = _Hooks()
    decoder = json.JSONDecoder(
        object_pairs_hook=hooks.unique, parse_int=hooks.integer, parse_float=hooks.real, parse_constant=hooks.constant
    )
    try:
        return decoder.decode(text), hooks.refused
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedRequest(f"The body is not JSON: {error.msg} at {place}.") from None
    except RecursionError:
        raise _too_deep(depth) from None


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    return next(name for name, _ in pairs if name in seen or seen.add(name))


def _check_depth(tree: Any, depth: int) -> None:
    level = [tree]
    for _ in range(depth):
        level = [value for holder in level for value in _inside(holder) if isinstance(value, (dict, list))]
        if not level:
            return
    raise _too_deep(depth)


def _inside(holder: Any) -> Iterable[Any]:
    match holder:
        case dict():
            return cast("dict[str, Any]", holder).values()
        case list():
            return cast("list[Any]", holder)
        case _:
            return ()


def _check_text(tree: Any) -> None:
    for where, value in _walk(tree):
        if isinstance(value, str) and _UNSTORABLE.search(value):
            _refuse_at(where, "A NUL character or half of a surrogate pair cannot be stored.")
        if where and isinstance(where[-1], str) and _UNSTORABLE.search(where[-1]):
            _refuse_at(where[:-1], "A name here holds a NUL character or half of a surrogate pair.")


def _raise_refused(tree: Any) -> NoReturn:
    for where, value in _walk(tree):
        if isinstance(value, _Refused):
            _refuse_at(where if value.name is None else (*where, _printable(value.name)), value.message)
    # Its place was inside of an object that was refused as a whole, which the walk has met before.
    raise JsonRefused


def _walk(tree: Any) -> Iterator[tuple[tuple[int | str, ...], Any]]:
    """Every value with its place, without recursion."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), tree)]
    while waiting:
        where, value = waiting.pop()
        yield where, value
        match value:
            case dict():
                waiting.extend(((*where, name), inner) for name, inner in cast("dict[str, Any]", value).items())
            case list():
                waiting.extend(((*where, index), inner) for index, inner in enumerate(cast("list[Any]", value)))
            case _:
                pass


def _refuse_at(where: tuple[int | str, ...], message: str) -> NoReturn:
    place = pointer([part if isinstance(part, int) else _printable(part) for part in where])
    raise JsonRefused(message, errors=(FieldError(place, message),))


def _printable(name: str) -> str:
    # A lone surrogate cannot be written in the answer either.
    return name.encode("utf-8", "replace").decode()[:200]


def _too_deep(depth: int) -> JsonRefused:
    message = f"The body is nested deeper than {depth} levels."
    return JsonRefused(message, hint="The operator's setting is POINTSMAN_LIMITS__JSON_DEPTH.", errors=(FieldError("", message),))
