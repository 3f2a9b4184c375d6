"""The page of the command line: every command with its arguments and options."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from pages.markdown import code, page, table
from pointsman.cli import app

INTRODUCTION = """
Commands that speak to a running gateway find it by `POINTSMAN_URL` and `POINTSMAN_API_KEY`, else by the local data directory. Data goes to
standard output, talk to standard error; with `--json` the data is JSON. `pointsman COMMAND --help` says the same as this page.
"""
HELP = {"help", "install_completion", "show_completion"}


def pages() -> dict[str, str]:
    """The page, by its path below docs/."""
    blocks = [block for path, command in commands() for block in blocks_of(path, command)]
    return {"reference/cli.md": page("Command line", INTRODUCTION, *blocks)}


def commands() -> Iterator[tuple[str, Any]]:
    """Every visible command by its full path, groups before what is in them."""
    yield from below("pointsman", typer.main.get_command(app))


def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The command, and what is in it if it is a group."""
    yield path, command
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if not inner.hidden:
            yield from below(f"{path} {name}", inner)


def blocks_of(path: str, command: Any) -> list[str]:
    """A heading, the help, and the parameters."""
    level = "##" if path.count(" ") <= 1 else "###"
    shown = [item for item in command.params if item.name not in HELP and not getattr(item, "hidden", False)]
    rows = [(spelling(item), default_of(item), item.help or "") for item in shown]
    heading = [] if path == "pointsman" else [f"{level} `{path}`"]
    return [*heading, inspect.cleandoc(command.help or ""), table(("", "Default", ""), rows) if rows else ""]


def spelling(item: Any) -> str:
    """How a parameter is written."""
    if item.opts == [item.name] and not item.opts[0].startswith("-"):
        return code(item.name.upper() if item.required else f"[{item.name.upper()}]")
    value = f" {item.metavar}" if item.metavar else ""
    written = ", ".join(code(f"{name}{value}") for name in item.opts)
    against = ", ".join(code(name) for name in item.secondary_opts)
    return f"{written} / {against}" if against else written


def default_of(item: Any) -> str:
    """The default where it says something and is not a path of the machine that makes this page."""
    if item.required:
        return "required"
    shown = isinstance(item.default, str | int | float) and not isinstance(item.default, bool) and item.default != ""
    return code(item.default) if shown else ""
