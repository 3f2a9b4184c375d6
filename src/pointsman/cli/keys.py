"""`pointsman keys`."""

from __future__ import annotations

import datetime as dt
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.inputs import read_length
from pointsman.cli.options import DataDir, Json, Most
from pointsman.cli.output import fields, say, show, show_json, table

app = typer.Typer(help="Keys: who may call, and what.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

KeyId = Annotated[int, typer.Argument(help="Number of the key.")]


@app.command("list")
def list_keys(
    *,
    owner: Annotated[str | None, typer.Option("--owner", help="Only this tenant's; empty: operator keys.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List the keys that yours can see, newest first."""
    with connected() as client:
        keys = list(client.keys.list(owner_id=owner, is_active=None if everything else True, most=most))
    if as_json:
        show_json(keys)
    else:
        table(keys, ["id", "name", "hint", "owner_id", "rate_limit", "expires_at", "last_used_at", "is_active", "scopes"])


@app.command("whoami")
def who_am_i(*, as_json: Json = False) -> None:
    """Show the key that the command line uses."""
    with connected() as client:
        key = client.keys.who_am_i()
    show_json(key) if as_json else fields(key)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    *,
    scopes: Annotated[list[str], typer.Option("--scope", metavar="SCOPE", help="What it may do, such as agents:run; several times.")],
    owner: Annotated[str | None, typer.Option("--owner", help="Its tenant; unset: that of your key.")] = None,
    rate_limit: Annotated[int, typer.Option("--rate-limit", min=0, help="Requests per hour; 0 is unlimited.")] = 0,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="How long it works: 24h, 30d.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key; it is printed this once."""
    body: dict[str, Any] = {"name": name, "scopes": scopes, "rate_limit": rate_limit}
    if owner is not None:
        body["owner_id"] = owner
    if expires_in is not None:
        body["expires_at"] = (dt.datetime.now(dt.UTC) + read_length(expires_in)).isoformat()
    with connected() as client:
        key = client.keys.create(body)
    if as_json:
        show_json(key)
        return
    say(f"made key {key['id']} ({key['name']}); it is not shown again:")
    show(key["api_key"])


@app.command("rotate")
def rotate_key(
    key_id: KeyId,
    *,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old key goes on working.")] = "1h",
    as_json: Json = False,
) -> None:
    """Make a successor; the old key works until the overlap ends, and both share one hourly limit."""
    with connected() as client:
        key = client.keys.rotate(key_id, int(read_length(overlap).total_seconds()))
    if as_json:
        show_json(key)
        return
    say(f"key {key['id']} follows key {key_id}, which works until {key['old_key_expires_at']}; the new one is not shown again:")
    show(key["api_key"])


@app.command("revoke")
def revoke_key(key_id: KeyId) -> None:
    """Revoke a key for good, everywhere within a second."""
    with connected() as client:
        client.keys.revoke(key_id)
    say(f"revoked key {key_id}")


@app.command("bootstrap")
def bootstrap_key(
    *,
    out: Annotated[Path | None, typer.Option("--out", help="File for the key (0600); unset: admin-key in the data directory.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new one though there is one, and revoke those made so before.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Make the first admin key on the machine that reaches the database, without a gateway; once, unless --rotate."""
    # The database and its libraries: none of the other commands here needs them.
    import_module("pointsman.cli.bootstrapping").bootstrap(data_dir, out, rotate=rotate)
