"""`pointsman doctor`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from pointsman.cli.exits import FAILED
from pointsman.cli.options import DataDir, Host, Json, Port
from pointsman.cli.output import say, show, show_json, style

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@app.command()
def doctor(
    *,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    list_settings: Annotated[bool, typer.Option("--settings", help="List every setting instead.")] = False,
    as_json: Json = False,
) -> None:
    """Look at the settings, the data directory, the database, the key ring, the port and the providers.

    Says what is wrong and how to mend it; nothing is changed. Ends with 1 if something keeps the gateway from working.
    """
    checkup: Any = import_module("pointsman.cli.checkup")
    if list_settings:
        _show_settings(checkup.known_settings(), as_json=as_json)
        return
    findings: list[dict[str, str]] = checkup.examine(data_dir=data_dir, host=host, port=port)
    if as_json:
        show_json(findings)
    else:
        for finding in findings:
            show(f"{style(finding['level'].rjust(4), _COLOURS[finding['level']])}  {finding['sentence']}")
            if finding["remedy"]:
                show(f"      → {finding['remedy']}")
    failures = sum(finding["level"] == "fail" for finding in findings)
    if failures:
        say(f"{failures} to mend")
        if checkup.is_about_settings(findings) and not as_json:
            say("known settings:")
            _show_settings(checkup.known_settings(), as_json=False)
        raise typer.Exit(FAILED)


def _show_settings(known: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        show_json(known)
        return
    size = max(len(name) for name in known)
    for name, description in sorted(known.items()):
        show(f"{name:<{size}}  {description}")
