"""`pointsman migrate`."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import typer

from pointsman.cli.configuration import read_settings
from pointsman.cli.logs import configure_logs
from pointsman.cli.options import DataDir
from pointsman.cli.output import say
from pointsman.cli.storage import Storage

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def migrate(*, data_dir: DataDir = None) -> None:
    """Bring the database to the schema of this release. Several may be started at once: one migrates, the others wait."""
    settings = read_settings(data_dir=data_dir)
    with Storage(settings) as storage:
        configure_logs(settings)
        migrations: Any = import_module("pointsman.migrations")  # while the database starts
        result = asyncio.run(migrations.migrate(storage.dsn()))
    if result.before == result.after:
        say(f"nothing to do: the database is at revision {result.after}")
    else:
        say(f"migrated the database from {result.before or 'nothing'} to revision {result.after}")
