"""`pointsman up`."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.configuration import read_settings
from pointsman.cli.gateway import run_gateway
from pointsman.cli.options import DataDir, Host, Port

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Workers = Annotated[int, typer.Option("--workers", min=0, max=64, help="Processes that do jobs; one that dies is started again.")]


@app.command()
def up(*, data_dir: DataDir = None, host: Host = None, port: Port = None, workers: Workers = 1) -> None:
    """Start all in one place: the database (embedded unless POINTSMAN_DATABASE__URL names a server), its migrations, HTTP, and workers.

    At the very first start an admin key is made, kept in the data directory (admin-key), and shown if this is a terminal.
    The gateway is ready when GET /readyz answers 200. Ctrl-C and SIGTERM drain and stop everything, the database too.
    """
    run_gateway(read_settings(data_dir=data_dir, host=host, port=port), alone=True, workers=workers)
