"""`pointsman sessions`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import cell, say, show, show_json, style, table

app = typer.Typer(help="Conversations and their messages.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

SessionId = Annotated[str, typer.Argument(help="Id of the session.")]


@app.command("list")
def list_sessions(
    *,
    user: Annotated[str | None, typer.Option("--user", help="Only of this user.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only with this agent.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List sessions, newest first."""
    with connected() as client:
        sessions = list(client.sessions.list(user_id=user, agent_id=agent, most=most))
    if as_json:
        show_json(sessions)
    else:
        table(sessions, ["id", "agent_id", "user_id", "tenant_id", "created_at", "updated_at"])


@app.command("show")
def show_session(session_id: SessionId, *, most: Most = 200, as_json: Json = False) -> None:
    """Show a session's messages, oldest first."""
    with connected() as client:
        messages = list(client.sessions.messages(session_id, most=most))
    if as_json:
        show_json(messages)
        return
    for message in messages:
        show(style(f"{message['role']}  {cell(message['created_at'])}", "bold", sys.stdout))
        said = message["text"] or "; ".join(_part(part) for part in message["parts"])
        show("".join(f"  {line}\n" for line in said.splitlines()), end="")


@app.command("delete")
def delete_session(session_id: SessionId, *, yes: Yes = False) -> None:
    """Truly delete a session with its messages, runs and events."""
    confirm(f"Delete session {session_id} with everything in it?", yes=yes)
    with connected() as client:
        client.sessions.delete(session_id)
    say(f"deleted session {session_id}")


def _part(part: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in part.items())
