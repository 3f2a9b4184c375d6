"""What `pointsman users` and `pointsman tenants` share: exporting to a file, and erasing to the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated

import typer

from pointsman.cli.inputs import CommandRefused, confirm
from pointsman.cli.output import say, show_json
from pointsman.client.client import PointsmanClient
from pointsman.client.leaving import Leaving
from pointsman.client.shapes import Erasure

Out = Annotated[Path | None, typer.Option("--out", help="File to write, of mode 0600; standard output without it.")]
ExportId = Annotated[str | None, typer.Option("--export-id", help="From the last line of an export of the last week.")]
WithoutExport = Annotated[bool, typer.Option("--without-export", help="Erase what was not exported.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end.")]

_LOOK_EVERY = 0.5


def export(leaving: Leaving, who: str, out: Path | None) -> None:
    """Write the export; it is whole when its last line has the id that erasing asks for."""
    last = ""
    with _opened(out) as file:
        for line in leaving.export(who):
            last = line
            file.write(line + "\n")
    if '"export_id"' not in last:
        raise CommandRefused("The export was cut off before its last line.", hint="Run it again.")
    say(f"exported {who}: {last}")


def erase(
    client: PointsmanClient,
    leaving: Leaving,
    who: str,
    *,
    export_id: str | None,
    without_export: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Ask, begin, and wait for the end; Ctrl-C leaves the gateway to finish it."""
    confirm(f"Erase everything of {who}, for good?", yes=yes)
    erasure = leaving.erase(who, export_id=export_id, without_export=without_export)
    while wait and erasure["status"] == "running":
        time.sleep(_LOOK_EVERY)
        erasure = client.erasures.read(erasure["id"])
    show_json(erasure) if as_json else say(_told(erasure, who))


def _told(erasure: Erasure, who: str) -> str:
    counts = ", ".join(f"{number} {name}" for name, number in erasure["counts"].items() if number)
    done = "erased" if erasure["status"] == "completed" else "erasing"
    return f"{done} {who} ({erasure['id']}){': ' + counts if counts else ''}"


@contextmanager
def _opened(out: Path | None) -> Generator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandRefused(f"{out} cannot be made: {error.strerror}.", hint="Choose a file that does not exist yet.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        try:
            yield file
        except BaseException:
            with suppress(OSError):
                out.unlink()
            raise
