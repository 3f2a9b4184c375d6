"""`pointsman serve`."""

from __future__ import annotations

import typer

from pointsman.cli.configuration import read_settings, require_server
from pointsman.cli.gateway import run_gateway
from pointsman.cli.options import DataDir, Host, Port

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def serve(*, data_dir: DataDir = None, host: Host = None, port: Port = None) -> None:
    """Serve HTTP on the database server of POINTSMAN_DATABASE__URL, which `pointsman migrate` has prepared. One of any number of replicas.

    The key ring must be the same on each replica: POINTSMAN_KEYRING__KEYS, or the file keyring in the data directory.
    """
    settings = read_settings(data_dir=data_dir, host=host, port=port)
    require_server(settings)
    run_gateway(settings, alone=False)
