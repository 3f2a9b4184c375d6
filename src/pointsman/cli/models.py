"""`pointsman models`."""

from __future__ import annotations

import typer

from pointsman.cli.connection import connected
from pointsman.cli.options import Json
from pointsman.cli.output import show_json, table

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def models(*, as_json: Json = False) -> None:
    """List model providers, whether each is configured, and some names to begin with; any other name goes to the provider as it is."""
    with connected() as client:
        providers = list(client.models.list())
    if as_json:
        show_json(providers)
        return
    rows = [{**provider, "needs": provider["missing"]} for provider in providers]
    table(rows, ["provider", "configured", "needs", "api", "models"])
