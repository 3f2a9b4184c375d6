"""Reads CSV: each row with the names of its columns, so that a row is understood without the first one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from pointsman.knowledge.parsing.inside.kinds import Asked
from pointsman.knowledge.parsing.inside.plain import load
from pointsman.knowledge.parsing.inside.saying import Answer, Refused

_DELIMITERS = ",;\t|"
_LARGEST_CELL = 131_072  # letters
_MOST_COLUMNS = 1000
_ROWS = 100  # in one piece
_LETTERS = 100_000  # the same


def read(file: BinaryIO, answer: Answer, asked: Asked) -> None:
    """Say a table's rows."""
    text = load(file, asked)
    csv.field_size_limit(_LARGEST_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        names = next((row for row in rows if any(row)), list[str]())
        if len(names) > _MOST_COLUMNS:
            raise Refused("columns")
        _say_rows(names, rows, answer)
    except csv.Error:
        raise Refused("cell") from None


def _say_rows(names: list[str], rows: Iterator[list[str]], answer: Answer) -> None:
    """A table of one row is all heading, and that is said."""
    said: list[str] = []
    letters = 0
    empty = True
    for row in rows:
        if not any(row):
            continue
        if len(row) > _MOST_COLUMNS:
            raise Refused("columns")
        empty = False
        said.append(_line(names, row))
        letters += len(said[-1])
        if len(said) >= _ROWS or letters >= _LETTERS:
            answer.say("\n".join(said))
            said, letters = [], 0
    answer.say(", ".join(names) if empty else "\n".join(said))


def _line(names: list[str], row: list[str]) -> str:
    cells = ((names[number] if number < len(names) else "", cell) for number, cell in enumerate(row))
    return "; ".join(f"{name.strip()}: {_flat(cell)}" if name.strip() else _flat(cell) for name, cell in cells if cell.strip())


def _flat(cell: str) -> str:
    return " ".join(cell.split())


def _delimiter(text: str) -> str:
    """What stands most often in the first line that says anything."""
    first = next((line for line in io.StringIO(text[:65_536]) if line.strip()), "")
    return max(_DELIMITERS, key=first.count)
