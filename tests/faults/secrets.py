"""Looks for secrets where none may be: in files and folders byte by byte, in texts, and in what the system tells of processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

_PIECE = 1 << 20


class Found(NamedTuple):
    """A secret, by its name, and where it was."""

    secret: str
    place: str


def search(paths: Iterable[Path], secrets: Mapping[str, str]) -> list[Found]:
    """Every file among the paths and below them that holds one of the secrets (`{name: value}`), as it is or percent-encoded."""
    return [found for path in paths for file in _files(path) for found in _in_file(file, _needles(secrets))]


def search_text(place: str, text: str | bytes, secrets: Mapping[str, str]) -> list[Found]:
    """The same for a text that is no file; `place` says what it was."""
    held = text.encode() if isinstance(text, str) else text
    return [Found(name, place) for name, forms in _needles(secrets).items() if any(form in held for form in forms)]


def command_lines(pids: Iterable[int], secrets: Mapping[str, str]) -> list[Found]:
    """The same for the command lines of processes; one that has ended has none."""
    found: list[Found] = []
    for pid in pids:
        path = Path(f"/proc/{pid}/cmdline")
        if path.exists():
            found += search_text(str(path), path.read_bytes(), secrets)
    return found


def _needles(secrets: Mapping[str, str]) -> dict[str, set[bytes]]:
    assert all(len(value) >= 8 for value in secrets.values()), "a shorter secret would be found everywhere"
    return {name: {value.encode(), quote(value, safe="").encode()} for name, value in secrets.items()}


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    elif path.exists():
        yield path


def _in_file(path: Path, needles: dict[str, set[bytes]]) -> Iterator[Found]:
    """Piece by piece, each overlapping the one before: a data file may be large."""
    longest = max((len(form) for forms in needles.values() for form in forms), default=0)
    left, kept = dict(needles), b""
    try:
        with path.open("rb") as file:
            while left and (piece := file.read(_PIECE)):
                held = kept + piece
                for name in [name for name, forms in left.items() if any(form in held for form in forms)]:
                    del left[name]
                    yield Found(name, str(path))
                kept = held[-longest:]
    except FileNotFoundError:  # a running database renames and removes its files
        return
