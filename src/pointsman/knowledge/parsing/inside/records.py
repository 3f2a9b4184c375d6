"""Reads JSON and lines of JSON: each value with the way to it, so that it is understood where it is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.plain import load
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_DEEPEST = 100
_LETTERS = 20_000  # of one piece


def read(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say what a file of JSON holds."""
    said: list[str] = []
    letters = 0
    for value in _values(load(file, asked)):
        for line in _lines(value, "", 0):
            said.append(line)
            letters += len(line)
            if letters > _LETTERS:
                answer.say("\n".join(said))
                said, letters = [], 0
        said.append("")
    answer.say("\n".join(said))


def _values(text: str) -> Iterator[Any]:
    """The records: those of a list, the lines of a file of lines, else the one value."""
    try:
        value = _parse(text)
    except ValueError:
        yield from _by_line(text)
        return
    yield from cast("list[Any]", value) if isinstance(value, list) else [value]


def _by_line(text: str) -> Iterator[Any]:
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2:
        raise Refused("json")
    for line in lines:
        try:
            yield _parse(line)
        except ValueError:
            raise Refused("json") from None


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)  # a number is said as it is written


def _lines(value: Any, way: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise Refused("too-deep")
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _lines(inner, f"{way}.{name}" if way else name, depth + 1)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _lines(inner, way, depth + 1)
    else:
        text = {None: "null", True: "true", False: "false"}.get(value, value)
        yield f"{way}: {text}" if way else str(text)
