"""The root of the command line: what it is called, its own options, and how it is run."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman import __version__
from pointsman.cli.commands import Commands
from pointsman.cli.exits import guarded

app = typer.Typer(
    name="pointsman",
    cls=Commands,
    help="A self-hosted gateway for AI agents. Begin with `pointsman up`, and `pointsman demo` to see what it does.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    guarded(lambda: typer.main.get_command(app)(prog_name="pointsman"))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pointsman {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program an unexpected error happened.")] = False,
) -> None:
    """Options of every command; `--debug` is read where errors are shown, which may be before this runs."""
    del version, debug
