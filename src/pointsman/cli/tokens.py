"""`pointsman tokens`: users' tokens for other systems. A secret comes from the terminal or standard input, never from the arguments."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="Users' tokens for other systems.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

User = Annotated[str, typer.Argument(help="Id of the user.")]
Key = Annotated[str, typer.Argument(metavar="INTEGRATION_KEY", help="What the token is called.")]
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


@app.command("delete")
def delete_token(user: User, key: Key, *, yes: Yes = False) -> None:
    """Have a token revoked at its provider where that is possible, and forget it."""
    confirm(f"Delete token {key} of {user}?", yes=yes)
    with connected() as client:
        client.tokens.delete(user, key)
    say(f"deleted token {key} of {user}")


def _secret() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Secret", hide_input=True, err=True)
    secret = sys.stdin.readline().strip()
    if not secret:
        raise CommandRefused("Standard input holds no secret.", hint="For instance `pointsman tokens set … < secret-file`.")
    return secret
