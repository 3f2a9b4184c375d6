"""`pointsman chat`: one turn, or a conversation in the terminal, streamed as it is said."""

from __future__ import annotations

import base64
import mimetypes
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused, tell
from pointsman.cli.inputs import read_variables
from pointsman.cli.options import Variables
from pointsman.cli.output import say, show_json_line, style
from pointsman.cli.speaking import Speaker
from pointsman.client import Event, PointsmanClient, ProblemResponse
from pointsman.kit.problems import Problem

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def chat(
    agent: Annotated[str, typer.Argument(help="Id of the agent.")],
    message: Annotated[str | None, typer.Argument(help="What to say; - reads standard input; unset on a terminal: a conversation.")] = None,
    *,
    session: Annotated[str | None, typer.Option("--session", "-s", help="Session to go on with, or to begin under this id.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", help="For whom; memories belong to a user.")] = None,
    variables: Variables = None,
    model: Annotated[str | None, typer.Option("--model", help="provider:model for these turns only.")] = None,
    attach: Annotated[list[Path] | None, typer.Option("--attach", metavar="FILE", help="An image or PDF; several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")] = False,
) -> None:
    """Talk to an agent. The answer goes to standard output as it is said; tools and tokens are told on standard error."""
    given = {"session_id": session, "user_id": user, "model": model, "variables": read_variables(variables)}
    body: dict[str, Any] = {name: value for name, value in given.items() if value}
    attachments = [_attachment(path) for path in attach or ()]
    with connected() as client:
        if message is None and sys.stdin.isatty() and not as_json:
            body.setdefault("session_id", f"chat-{uuid.uuid4().hex[:12]}")
            _converse(client, agent, body, attachments)
            return
        text = sys.stdin.read() if message in (None, "-") else message
        _turn(client, agent, body | {"message": text, "attachments": attachments}, as_json=as_json)


def _turn(client: PointsmanClient, agent: str, body: dict[str, Any], *, as_json: bool = False) -> None:
    tell_turn(client, client.stream_chat(agent, body), as_json=as_json)


def tell_turn(client: PointsmanClient, events: Iterator[Event], *, as_json: bool = False) -> None:
    """A run as it goes; Ctrl-C cancels it. Raises ProblemResponse for one that failed."""
    speaker = Speaker()
    try:
        for event in _printed(events) if as_json else events:
            speaker.take(event, silent=as_json)
    except KeyboardInterrupt:
        speaker.end()
        if speaker.run_id is not None:
            with suppress(ProblemResponse, Problem):
                client.runs.cancel(speaker.run_id)
            say(f"cancelled run {speaker.run_id}")
        raise
    if speaker.failure is not None:
        raise speaker.failure


def _converse(client: PointsmanClient, agent: str, body: dict[str, Any], attachments: list[dict[str, str]]) -> None:
    """Turn after turn in one session, until the input ends."""
    with suppress(ImportError):
        # Arrow keys and history at the prompt, where Python has it.
        import_module("readline")
    say(style(f"session {body['session_id']} with {agent}; an empty line or Ctrl-D ends it", "dim"))
    while True:
        try:
            message = input(style("you> ", "bold", sys.stdout))
        except EOFError:
            say()
            return
        if not message.strip():
            return
        try:
            _turn(client, agent, body | {"message": message, "attachments": attachments})
        except (ProblemResponse, Problem) as problem:
            tell(problem)
        except KeyboardInterrupt:
            continue
        attachments = []


def _printed(events: Iterator[Event]) -> Iterator[Event]:
    for event in events:
        show_json_line({"id": event.id, "event": event.name, "data": event.data})
        yield event


def _attachment(path: Path) -> dict[str, str]:
    media_type = mimetypes.guess_type(path.name)[0]
    if media_type is None:
        raise CommandRefused(f"What {path} is cannot be told from its name.", hint="Name it .png, .jpeg, .webp, .gif or .pdf.")
    try:
        return {"media_type": media_type, "data": base64.b64encode(path.read_bytes()).decode()}
    except OSError as error:
        raise CommandRefused(f"{path} cannot be read: {error.strerror}.", hint="Name a file that exists.") from None
