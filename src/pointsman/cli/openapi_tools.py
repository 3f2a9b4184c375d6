"""`pointsman openapi-tools`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm, read_text
from pointsman.cli.options import Everything, Json, Most, Yes
from pointsman.cli.output import fields, say, show, show_json, table

app = typer.Typer(
    help="OpenAPI documents whose operations agents call as tools.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

ToolsId = Annotated[str, typer.Argument(help="Id of the registration.")]
Document = Annotated[Path, typer.Argument(metavar="FILE", help="The OpenAPI document, JSON or YAML; - is standard input.")]
Operations = Annotated[
    list[str] | None,
    typer.Option(
        "--operation", "-o", metavar="ID", help="An operation that becomes a tool: its operationId, else 'GET /path'; several times."
    ),
]
Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        "-H",
        metavar="NAME=VALUE",
        help="Sent with each call; ${token:KEY} and ${secret:NAME} stand for credentials. Several times.",
    ),
]
Server = Annotated[str | None, typer.Option("--server", help="Where the operations are called; unset: the document's first server.")]
Timeout = Annotated[int | None, typer.Option("--timeout", metavar="SECONDS", min=1, max=60, help="How long a call may take; unset: 30.")]


@app.command("list")
def list_tools(*, everything: Everything = False, most: Most = 50, as_json: Json = False) -> None:
    """List registrations by id."""
    with connected() as client:
        registrations = list(client.openapi_tools.list(include_inactive=everything, most=most))
    if as_json:
        show_json(registrations)
    else:
        table(registrations, ["id", "server_url", "operations", "updated_at", *(["is_active"] if everything else []), "name"])


@app.command("add")
def add_tools(
    document: Document,
    *,
    tools_id: Annotated[
        str | None, typer.Option("--id", help="Its id, with which its tools' names begin; the file's name if absent.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call it.")] = None,
    operations: Operations = None,
    server: Server = None,
    headers: Headers = None,
    timeout: Timeout = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change a registration that is there: the document, and what is given.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a document, and make tools of chosen operations. The API is not asked anything."""
    chosen = tools_id or document.stem
    given = {"name": name, "operations": operations, "server_url": server, "headers": _headers(headers), "timeout_seconds": timeout}
    body: dict[str, Any] = {"document": read_text(document)} | {key: value for key, value in given.items() if value}
    if not replace and not operations:
        raise CommandRefused("No operation was chosen.", hint="Give --operation for each that becomes a tool, for instance -o listPets.")
    with connected() as client:
        tools = client.openapi_tools
        made = tools.update(chosen, body) if replace else tools.create({"id": chosen, "name": chosen} | body)
    if as_json:
        show_json(made)
        return
    say(f"{chosen} has {len(made.get('tools', []))} tools at {made['server_url']}:")
    for tool in made.get("tools", []):
        show(tool["tool"])
    for note in made.get("notes", []):
        say(f"note: {note}")


@app.command("show")
def show_tools(
    tools_id: ToolsId,
    *,
    document: Annotated[bool, typer.Option("--document", help="Print the document itself.")] = False,
    as_json: Json = False,
) -> None:
    """Show a registration with its tools."""
    with connected() as client:
        if document:
            show_json(client.openapi_tools.read_document(tools_id))
            return
        registration = client.openapi_tools.read(tools_id)
    if as_json:
        show_json(registration)
        return
    tools = registration.get("tools", [])
    fields({name: value for name, value in registration.items() if name not in {"tools", "operations"}})
    show("")
    table([{**tool, "call": f"{tool['method']} {tool['path']}"} for tool in tools], ["tool", "call", "description"])


@app.command("remove")
def remove_tools(tools_id: ToolsId, *, yes: Yes = False) -> None:
    """Delete a registration; agents that list it cannot run until it is back or taken out of them."""
    confirm(f"Remove the OpenAPI tools {tools_id}?", yes=yes)
    with connected() as client:
        client.openapi_tools.delete(tools_id)
    say(f"removed {tools_id}")


def _headers(given: list[str] | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for pair in given or ():
        name, separator, value = pair.partition("=")
        if not (name and separator):
            raise CommandRefused(
                f"--header {pair!r} is not NAME=VALUE.", hint="For instance --header 'Authorization=Bearer ${token:github}'."
            )
        headers[name] = value
    return headers
