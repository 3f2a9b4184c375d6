"""`pointsman tenants`."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli import leaving
from pointsman.cli.connection import connected
from pointsman.cli.leaving import ExportId, NoWait, Out, WithoutExport
from pointsman.cli.options import Json, Yes

app = typer.Typer(help="Export or erase a tenant.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Who = Annotated[str, typer.Argument(help="Id of the tenant.")]


@app.command("export")
def export_tenant(tenant_id: Who, *, out: Out = None) -> None:
    """Write everything that is kept of a tenant, one JSON object a line; the last line has the id that `erase` asks for."""
    with connected() as client:
        leaving.export(client.tenants, tenant_id, out)


@app.command("erase")
def erase_tenant(
    tenant_id: Who,
    *,
    export_id: ExportId = None,
    without_export: WithoutExport = False,
    no_wait: NoWait = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Truly erase a tenant with its keys, sessions, runs and usage; repeatable."""
    with connected() as client:
        leaving.erase(
            client,
            client.tenants,
            tenant_id,
            export_id=export_id,
            without_export=without_export,
            yes=yes,
            wait=not no_wait,
            as_json=as_json,
        )
