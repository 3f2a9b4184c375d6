"""`pointsman mcp`: MCP servers, what is approved of them, and what waits to be."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table
from pointsman.client.tools import McpServerDetail

app = typer.Typer(help="MCP servers: whose tools agents may be given.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

ServerId = Annotated[str, typer.Argument(help="Id of the server.")]
_TOOLS = ["is", "name", "description", "read_only", "idempotent"]


@app.command("list")
def list_servers(*, most: Most = 50, as_json: Json = False) -> None:
    """List servers, and whether somebody has to look at them."""
    with connected() as client:
        found = list(client.mcp_servers.list(most=most))
    show_json(found) if as_json else table(found, ["id", "type", "state", "url", "description"])


@app.command("show")
def show_server(server_id: ServerId, *, as_json: Json = False) -> None:
    """Show a server: what is approved of it, and what waits to be."""
    with connected() as client:
        server = client.mcp_servers.read(server_id)
    show_json(server) if as_json else _show(server)


@app.command("add")
def add_server(
    server_id: ServerId,
    url: Annotated[str, typer.Argument(help="Where it is reached, over streamable HTTP.")],
    *,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME:VALUE", help="Sent to it; ${token:KEY} and ${secret:NAME} name credentials; several times."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Register a server; nothing is connected to, and nothing is offered before it is approved."""
    body: dict[str, Any] = {"id": server_id, "url": url, "headers": dict(_header(given) for given in header or ())}
    body |= {key: value for key, value in (("name", name), ("description", description)) if value}
    with connected() as client:
        made = client.mcp_servers.create(body)
    show_json(made) if as_json else say(f"added MCP server {made['id']}; next: pointsman mcp inspect {made['id']}")


@app.command("inspect")
def inspect_server(
    server_id: ServerId,
    *,
    user: Annotated[str | None, typer.Option("--user", help="Whose credentials its headers are filled with.")] = None,
    as_json: Json = False,
) -> None:
    """Connect to a server, or start it, and show what it offers that is not approved."""
    with connected() as client:
        server = client.mcp_servers.inspect(server_id, user_id=user)
    show_json(server) if as_json else _show(server)


@app.command("approve")
def approve_server(
    server_id: ServerId,
    *,
    sha256: Annotated[str | None, typer.Option("--sha256", help="Of the proposal that you have read; unset: it is shown now.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Approve what a server was seen to offer; agents that list it are offered it from now on."""
    with connected() as client:
        if sha256 is None:
            server = client.mcp_servers.read(server_id)
            if server["proposal"] is None:
                raise CommandRefused(f"Nothing of {server_id} waits to be approved.", hint=f"pointsman mcp inspect {server_id} asks it.")
            if not as_json:
                _show(server)
            confirm(f"Approve these tools of {server_id}?", yes=yes)
            sha256 = str(server["proposal"]["sha256"])
        approved = client.mcp_servers.approve(server_id, sha256)
    show_json(approved) if as_json else say(f"approved {len(approved['tools'])} tools of {server_id}")


@app.command("remove")
def remove_server(server_id: ServerId, *, yes: Yes = False) -> None:
    """Delete a server; agents that still list it hear that at each call."""
    confirm(f"Delete MCP server {server_id}?", yes=yes)
    with connected() as client:
        client.mcp_servers.delete(server_id)
    say(f"deleted MCP server {server_id}")


def _header(given: str) -> tuple[str, str]:
    name, separator, value = given.partition(":")
    if not (separator and name.strip()):
        raise CommandRefused(f"--header {given!r} is not NAME:VALUE.", hint="For instance --header 'Authorization:Bearer ${token:github}'.")
    return name.strip(), value.strip()


def _show(server: McpServerDetail) -> None:
    fields({name: value for name, value in server.items() if name not in {"tools", "proposal"}})
    table(_tools(server), _TOOLS)


def _tools(server: McpServerDetail) -> list[dict[str, Any]]:
    """What is approved, then what is proposed, each tool by what it would be for who approves."""
    approved: list[dict[str, Any]] = [{"is": "approved", **tool} for tool in server["tools"]]
    proposal = server["proposal"]
    if proposal is None:
        return approved
    kinds = {name: kind for kind, names in proposal["diff"].items() for name in names}
    gone = [{"is": "removed", "name": name} for name in proposal["diff"]["removed"]]
    kept = [tool for tool in approved if tool["name"] not in kinds]
    return kept + [{"is": kinds[tool["name"]], **tool} for tool in proposal["tools"] if tool["name"] in kinds] + gone
