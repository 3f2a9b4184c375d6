"""`pointsman audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import FAILED
from pointsman.cli.options import Json, Most
from pointsman.cli.output import say, show, show_json, table

app = typer.Typer(help="The log of changes.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)


@app.command("list")
def list_entries(
    *,
    action: Annotated[str | None, typer.Option("--action", help="Only this action, such as key.created.")] = None,
    object_type: Annotated[str | None, typer.Option("--type", help="Only changes of such objects, such as agent.")] = None,
    object_id: Annotated[str | None, typer.Option("--id", help="Only changes of the object with this id.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Not older than this moment, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Older than this moment, RFC 3339.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List changes, newest first."""
    query = {"action": action, "object_type": object_type, "object_id": object_id, "from": since, "to": until}
    with connected() as client:
        entries = list(client.audit.list(query, most=most))
    if as_json:
        show_json(entries)
    else:
        table(entries, ["id", "at", "actor", "action", "object_type", "object_id", "detail"])


@app.command("verify")
def verify(*, as_json: Json = False) -> None:
    """Recompute the hash chain; ends with 1 if an entry was changed, removed, inserted or moved."""
    with connected() as client:
        verdict = client.audit.verify()
    if as_json:
        show_json(verdict)
    else:
        show("sound" if verdict["sound"] else "NOT SOUND")
        say(f"{verdict['sealed']} entries sealed, {verdict['unsealed']} about to be; the chain ends with {verdict['head']['hash']}")
        for fault in verdict["faults"]:
            show(f"  entry {fault['seal_seq']}: {fault['what']}")
    if not verdict["sound"]:
        raise typer.Exit(FAILED)
