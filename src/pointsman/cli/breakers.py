"""`pointsman breakers`: what failed too often and is left alone for now."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.options import Json, Most
from pointsman.cli.output import say, show_json, table

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option("--state", help="Only those that are `open`, `half_open` or `closed`.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List the engines, targets and models that have failed."""
    with connected() as client:
        found = list(client.breakers.list(state=state, most=most))
    if as_json:
        show_json(found)
        return
    table(found, ["id", "state", "failures", "retry_at", "reason"])


@app.command()
def reset(breaker: Annotated[str, typer.Argument(help="Its id, such as `target:local`.")], *, as_json: Json = False) -> None:
    """Close a breaker by hand; what it is about is tried again at once."""
    with connected() as client:
        closed = client.breakers.reset(breaker)
    if as_json:
        show_json(closed)
        return
    say(f"{closed['id']} is {closed['state']}")
