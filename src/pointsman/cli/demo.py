"""`pointsman demo`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def demo(
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", help="provider:model; unset: the first provider that the environment configures, else a script."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Play the script, whatever the environment configures.")] = False,
) -> None:
    """Play a support desk on a gateway of its own in a temporary directory, and remove it again. Needs neither key nor network.

    Streams a conversation, shows a run's events, takes up a stream that was cut, edits a prompt and rolls it back, uploads documents and
    answers from them with citations, runs a skill's script and a supervised job in sandboxes, and counts tokens.
    """
    import_module("pointsman.cli.demonstration").play(model, offline=offline)
