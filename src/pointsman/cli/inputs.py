"""What is given on the command line: texts and JSON from files or standard input, variables, lengths of time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import typer

from pointsman.cli.exits import CommandRefused

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_text(path: Path) -> str:
    """A text file in UTF-8; `-` is standard input."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandRefused(f"{path} is not text in UTF-8.", hint="Name a text file.") from None
    except OSError as error:
        raise CommandRefused(
            f"{path} cannot be read: {error.strerror}.", hint="Name a file that exists, or - for standard input."
        ) from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file; `-` is standard input."""
    try:
        value: Any = json.loads(read_text(path))
    except ValueError as error:
        raise CommandRefused(f"{path} is not JSON: {error}.", hint="Give one JSON object.") from None
    if not isinstance(value, dict):
        raise CommandRefused(f"{path} holds no JSON object.", hint="Give one JSON object.")
    return cast("dict[str, Any]", value)


def read_variables(given: Iterable[str] | None) -> dict[str, str]:
    """`name=value`; `name=@file` takes the text of a file."""
    variables: dict[str, str] = {}
    for pair in given or ():
        name, separator, value = pair.partition("=")
        if not (name and separator):
            raise CommandRefused(f"--var {pair!r} is not NAME=VALUE.", hint="For instance --var company=Acme.")
        variables[name] = read_text(Path(value[1:])) if value.startswith("@") else value
    return variables


def assign(target: dict[str, Any], given: Iterable[str] | None) -> dict[str, Any]:
    """Set `config.model=openai:…` within a body: dots lead into objects, values are JSON where they parse as such, else text."""
    for pair in given or ():
        path, separator, raw = pair.partition("=")
        if not (path and separator):
            raise CommandRefused(f"--set {pair!r} is not PATH=VALUE.", hint="For instance --set config.enable_memory=false.")
        *outer, last = path.split(".")
        place = target
        for step in outer:
            inner: Any = place.setdefault(step, {})
            if not isinstance(inner, dict):
                raise CommandRefused(f"--set {pair!r} leads into {step!r}, which is no object.", hint="Leave out what follows it.")
            place = cast("dict[str, Any]", inner)
        place[last] = _json_or_text(raw)
    return target


def read_length(text: str) -> timedelta:
    """`90s`, `15m`, `24h`, `30d`; a number alone is seconds."""
    match = re.fullmatch(r"(\d{1,9})([smhdw]?)", text.strip())
    if match is None:
        raise CommandRefused(f"{text!r} is no length of time.", hint="Write 90s, 15m, 24h or 30d.")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2] or "s"])


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost; without a terminal `--yes` has to say so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandRefused(f"{question} Nobody is there to answer.", hint="Add --yes.")
    typer.confirm(question, abort=True, err=True)


def _json_or_text(raw: str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw
