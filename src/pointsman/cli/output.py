"""What commands print: data to standard output, talk to standard error, both readable without colour and through a pipe."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any, TextIO, cast

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36"}
_KEPT = {"\n", "\t"}


def say(text: str = "") -> None:
    """A line of talk."""
    print(plain(text, sys.stderr), file=sys.stderr, flush=True)


def show(text: str, *, end: str = "\n") -> None:
    """A piece of data."""
    print(plain(text, sys.stdout), end=end, flush=True)


def show_json(value: Any) -> None:
    """JSON for programs, indented for people who look."""
    print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)


def show_json_line(value: Any) -> None:
    """JSON on one line."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)


def style(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, where `stream` (standard error by default) is a terminal that wants it."""
    target = stream or sys.stderr
    if not target.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def plain(text: str, stream: TextIO) -> str:
    """On a terminal, text without control characters but our own colours: what a model or a user wrote must not steer it."""
    if not stream.isatty():
        return text
    return "".join(_visible(text))


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], titles: Mapping[str, str] | None = None) -> None:
    """Rows under headings, numbers to the right; on a terminal the last column is cut where the line ends."""
    body = [[cell(row.get(column)) for column in columns] for row in rows]
    head = [(titles or {}).get(column, column).upper().replace("_", " ") for column in columns]
    if not body:
        say("(nothing)")
        return
    widths = [max(width(line[index]) for line in [head, *body]) for index in range(len(columns))]
    numeric = [all(_is_number(line[index]) for line in body) for index in range(len(columns))]
    room = get_terminal_size().columns if sys.stdout.isatty() else None
    for number, line in enumerate([head, *body]):
        text = "  ".join(_padded(value, size, right=right) for value, size, right in zip(line, widths, numeric, strict=True)).rstrip()
        text = text if room is None or width(text) <= room else text[: room - 1] + "…"
        print(style(plain(text, sys.stdout), "bold", sys.stdout) if number == 0 else plain(text, sys.stdout), flush=True)


def fields(values: Mapping[str, Any]) -> None:
    """One thing, a line for each of its fields; texts of several lines stand below their name."""
    size = max(len(name) for name in values)
    for name, value in values.items():
        text = json.dumps(value, indent=2, ensure_ascii=False) if _is_nested(value) else cell(value, whole=True)
        if "\n" in text:
            show(f"{name}:")
            show("".join(f"  {line}\n" for line in text.rstrip("\n").split("\n")), end="")
        else:
            show(f"{name + ':':<{size + 1}} {text}".rstrip())


def cell(value: Any, *, whole: bool = False) -> str:
    """A value in words: `-` for none, lists with commas, times without their fraction, one line unless `whole`."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    text = _time(str(value))
    return text if whole else " ".join(text.split())


def width(text: str) -> int:
    """Columns on a screen."""
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _visible(text: str) -> Iterable[str]:
    position = 0
    while position < len(text):
        ours = next((code for code in _OURS if text.startswith(code, position)), None)
        if ours:
            yield ours
            position += len(ours)
            continue
        one = text[position]
        if one in _KEPT or unicodedata.category(one) not in {"Cc", "Cf"}:
            yield one
        position += 1


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in cast("list[Any]", value))
    return isinstance(value, dict) and value != {}


def _padded(value: str, size: int, *, right: bool) -> str:
    gap = " " * (size - width(value))
    return gap + value if right else value + gap


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace("-", "", 1).isdigit()


def _time(text: str) -> str:
    # 2026-11-02T10:20:30.123456Z
    if len(text) >= 20 and text[4:5] == "-" and text[10:11] == "T" and text.endswith("Z"):
        return f"{text[:10]} {text[11:19]}Z"
    return text


_OURS = ("\x1b[0m", *(f"\x1b[{code}m" for code in _COLOURS.values()))
