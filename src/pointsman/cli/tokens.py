"""`pointsman tokens`: users' tokens for other systems. A secret comes from the terminal or standard input, never from the arguments."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show, show_json, show_json_line, table
from pointsman.client.client import PointsmanClient
from pointsman.client.tokens import Connect

app = typer.Typer(help="Users' tokens for other systems.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

User = Annotated[str, typer.Argument(help="Id of the user.")]
Key = Annotated[str, typer.Argument(metavar="INTEGRATION_KEY", help="What the token is called.")]
_UNDER_WAY = {"pending", "opened", "exchanging"}
_LOOK_EVERY = 1.0
_SECRET_OF = {"oauth2": "access_token", "api_key": "api_key", "jwt": "token"}


@app.command("list")
def list_tokens(user: User, *, most: Most = 50, as_json: Json = False) -> None:
    """List a user's tokens."""
    with connected() as client:
        tokens = list(client.tokens.list(user, most=most))
    if as_json:
        show_json(tokens)
        return
    table(tokens, ["integration_key", "provider", "token_type", "status", "scopes", "expires_at"])


@app.command("show")
def show_token(user: User, key: Key, *, as_json: Json = False) -> None:
    """Show a token, without its secret."""
    with connected() as client:
        token = client.tokens.read(user, key)
    show_json(token) if as_json else fields(token)


@app.command("set")
def set_token(
    user: User,
    key: Key,
    *,
    provider: Annotated[str, typer.Option("--provider", help="Whose token it is, such as github.")],
    token_type: Annotated[str, typer.Option("--type", help="api_key, jwt or oauth2.")] = "api_key",  # noqa: S107 - a type, no secret
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="What it allows, for people to see; may be repeated.")] = None,
    expires_at: Annotated[str | None, typer.Option("--expires-at", help="When it is good no more, RFC 3339.")] = None,
    as_json: Json = False,
) -> None:
    """Store a token, in the place of one that is there; the secret is asked for, or read from standard input."""
    if token_type not in _SECRET_OF:
        raise CommandRefused(f"--type {token_type!r} is no type of token.", hint="Types are api_key, jwt and oauth2.")
    body: dict[str, Any] = {"provider": provider, "token_type": token_type, "scopes": scopes or []}
    body |= {"token_data": {_SECRET_OF[token_type]: _secret()}} | ({"expires_at": expires_at} if expires_at else {})
    with connected() as client:
        token = client.tokens.put(user, key, body)
    show_json(token) if as_json else say(f"stored token {key} of {user}")


@app.command("refresh")
def refresh_token(user: User, key: Key, *, as_json: Json = False) -> None:
    """Have the provider renew an oauth2 token now; it is renewed by itself before it expires, when it is used."""
    with connected() as client:
        token = client.tokens.refresh(user, key)
    show_json(token) if as_json else say(f"token {key} of {user} is good until {token['expires_at'] or 'it is revoked'}")


@app.command("connect")
def connect(
    provider: Annotated[str, typer.Argument(help="An OAuth provider, such as github.")],
    *,
    user: Annotated[str, typer.Option("--user", help="Id of the user whose account it is.")],
    key: Annotated[str | None, typer.Option("--as", help="What the token is to be called; without it as the provider.")] = None,
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="What the user is asked for; may be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until the user is done.")] = True,
    as_json: Json = False,
) -> None:
    """Print the address at which a user connects an account in a browser, and wait until that is done."""
    body = ({"integration_key": key} if key else {}) | ({"scopes": scopes} if scopes else {})
    with connected() as client:
        opened = client.tokens.connect(user, provider, body)
        show_json_line(opened) if as_json else show(opened["url"])
        if not wait:
            return
        say(f"{user} opens this address in a browser; waiting until {provider} is connected …")
        ended = _ended(client, opened)
    if as_json:
        show_json_line(ended)
    if ended["status"] != "connected":
        raise CommandRefused(f"{provider} was not connected: {ended['failure'] or 'the time is over.'}", hint="Run the command again.")
    say(f"connected {provider} for {user} as {ended['integration_key']}")


@app.command("uses")
def list_uses(user: User, key: Key, *, most: Most = 50, as_json: Json = False) -> None:
    """List which runs and tools used a token."""
    with connected() as client:
        uses = list(client.tokens.uses(user, key, most=most))
    show_json(uses) if as_json else table(uses, ["at", "run_id", "tool", "provider"])


@app.command("delete")
def delete_token(user: User, key: Key, *, yes: Yes = False) -> None:
    """Have a token revoked at its provider where that is possible, and forget it."""
    confirm(f"Delete token {key} of {user}?", yes=yes)
    with connected() as client:
        client.tokens.delete(user, key)
    say(f"deleted token {key} of {user}")


def _ended(client: PointsmanClient, connect: Connect) -> Connect:
    while connect["status"] in _UNDER_WAY:
        time.sleep(_LOOK_EVERY)
        connect = client.tokens.connected(connect["user_id"], connect["id"])
    return connect


def _secret() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Secret", hide_input=True, err=True)
    secret = sys.stdin.readline().strip()
    if not secret:
        raise CommandRefused("Standard input holds no secret.", hint="For instance `pointsman tokens set … < secret-file`.")
    return secret
