"""`pointsman workers`."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.options import Json, Most
from pointsman.cli.output import show_json, table

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def workers(
    *,
    worker_pool: Annotated[str | None, typer.Option("--pool", help="Only those of this pool.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List the processes that do jobs, and how many each has in hand."""
    with connected() as client:
        found = list(client.workers.list(worker_pool=worker_pool, most=most))
    if as_json:
        show_json(found)
        return
    rows = [{**worker, "jobs": len(worker["jobs"])} for worker in found]
    table(rows, ["id", "host", "pid", "worker_pool", "slots", "jobs", "status", "isolation", "started_at"])
