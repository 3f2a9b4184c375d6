"""The heavy half of a serving process, imported while the database starts: migrations, the gateway, the HTTP server."""

from __future__ import annotations

import signal
from collections.abc import Callable

from pointsman.access.first_key import bootstrap_admin
from pointsman.api.app import create_app
from pointsman.api.server import run, serve
from pointsman.bootstrap import Gateway, routers
from pointsman.cli import children
from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.cli.output import say
from pointsman.cli.schema import require_migrated
from pointsman.migrations import migrate
from pointsman.settings import Settings

__all__ = ["run", "serve_until_stopped"]

Announce = Callable[[str, str | None], None]


async def serve_until_stopped(settings: Settings, dsn: str, *, alone: bool, workers: int, announce: Announce) -> None:
    """Bring the gateway up on a database that runs, serve, and take it down."""
    if alone:
        await migrate(dsn)
    else:
        await require_migrated(dsn)
    gateway = await Gateway.open(settings, dsn)
    try:
        await gateway.start()
        api_key = (await bootstrap_admin(gateway.db, settings.data_dir / ADMIN_KEY_FILE)).api_key if alone else None
        app = create_app(gateway, routers())
        async with children.workers(settings, workers, gateway.draining):
            await serve(app, settings, gateway.draining, lambda url: announce(url, api_key))
    finally:
        _ignore_signals()
        say("stopping")
        await gateway.close()


def _ignore_signals() -> None:
    # What is left takes seconds at most, and leaving it out would leave a database server running.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
