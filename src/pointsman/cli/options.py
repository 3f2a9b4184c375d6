"""Options and arguments that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Most = Annotated[int, typer.Option("--limit", "-n", min=1, help="Most items.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Only with this tag; several times: with all of them.")]
Search = Annotated[str | None, typer.Option("--search", "-q", help="Text in the id, name or description.")]
Everything = Annotated[bool, typer.Option("--all", help="Deleted ones too.")]
Variables = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="A variable of the prompt; several times.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the embedded database, key ring and admin key [POINTSMAN_DATA_DIR].")
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on [POINTSMAN_HOST, 127.0.0.1].")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one [POINTSMAN_PORT, 8080].")]
