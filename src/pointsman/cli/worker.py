"""`pointsman worker`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from pointsman.cli.configuration import ServerNotNamed, read_settings
from pointsman.cli.gateway import stoppable
from pointsman.cli.logs import configure_logs
from pointsman.cli.options import DataDir
from pointsman.cli.output import say, style
from pointsman.kit.embedded_pg import find_dsn
from pointsman.settings import Settings

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Slots = Annotated[int | None, typer.Option("--slots", min=1, max=10_000, help="Most jobs at once [POINTSMAN_WORKERS__SLOTS, 64].")]
_POOL = "linux_worker_pool"


@app.command()
def worker(
    *,
    pool: Annotated[str, typer.Option("--pool", help="Do the jobs of this worker pool.")] = _POOL,
    slots: Slots = None,
    attached: Annotated[bool, typer.Option("--attached", hidden=True, help="End when standard input ends.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Do jobs, on the database server of POINTSMAN_DATABASE__URL or beside a `pointsman up` on its data directory.

    Start as many as are needed, on as many machines. The key ring must be that of the gateways. SIGTERM and Ctrl-C drain: nothing more is
    begun, what is in hand may end, and what does not in time is handed over to other workers.
    """
    settings = read_settings(data_dir=data_dir)
    dsn = _dsn(settings)
    configure_logs(settings)
    process: Any = import_module("pointsman.worker.process")
    server: Any = import_module("pointsman.api.server")
    most = slots or settings.workers.slots

    def ready(worker_id: str) -> None:
        say(f"{style('worker', 'bold')} {worker_id} does jobs of pool {pool}, {most} at once")

    with stoppable():
        server.run(process.work_until_stopped(settings, dsn, pool=pool, slots=most, attached=attached, ready=ready))


def _dsn(settings: Settings) -> str:
    if settings.database.url is not None:
        return settings.database.url.get_secret_value()
    dsn = find_dsn(settings.data_dir)
    if dsn is None:
        raise ServerNotNamed(
            f"POINTSMAN_DATABASE__URL is not set, and there is no database in {settings.data_dir}.",
            hint="Set it to the DSN of a PostgreSQL server, or name the data directory of a `pointsman up` with --data-dir.",
        )
    return dsn
