"""`pointsman runs`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pointsman.cli.connection import connected
from pointsman.cli.options import Json, Most
from pointsman.cli.output import fields, say, show, show_json, show_json_line, table
from pointsman.cli.speaking import Speaker, call_of
from pointsman.cli.working import output_of, told_of
from pointsman.client import Event

app = typer.Typer(help="What was asked, how it ended, and its events.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

RunId = Annotated[str, typer.Argument(help="Id of the run.")]
Verbosity = Literal["full", "events", "result"]


@app.command("list")
def list_runs(
    *,
    status: Annotated[str | None, typer.Option("--status", help="pending, running, paused, completed, failed or cancelled.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only of this agent or team.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Only of this session.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only for this user.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    query = {"status": status, "subject": agent, "session_id": session, "user_id": user}
    with connected() as client:
        runs = list(client.runs.list(query, most=most))
    if as_json:
        show_json(runs)
        return
    rows = [
        {
            **run,
            "agent": run["subject"],
            "tokens": (run["usage"] or {}).get("total_tokens"),
            "jobs": len(run["supervisor"]["jobs"]) if run["supervisor"] else None,
        }
        for run in runs
    ]
    table(rows, ["id", "kind", "status", "agent", "session_id", "user_id", "jobs", "tokens", "created_at", "content"])


@app.command("show")
def show_run(run_id: RunId, *, as_json: Json = False) -> None:
    """Show a run and how it ended."""
    with connected() as client:
        run = client.runs.read(run_id)
    show_json(run) if as_json else fields(run)


@app.command("events")
def show_events(
    run_id: RunId,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events above this id.")] = 0,
    verbosity: Annotated[Verbosity, typer.Option("--verbosity", help="full has every event, result the first and the last.")] = "full",
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")] = False,
) -> None:
    """Print a run's events, and those that come, to its end."""
    with connected() as client:
        for event in client.runs.events(run_id, after=after, verbosity=verbosity):
            show_json_line({"id": event.id, "event": event.name, "data": event.data}) if as_json else show(line_of(event))


@app.command("watch")
def watch_run(
    run_id: RunId,
    *,
    output: Annotated[bool, typer.Option("--output", help="Also what its jobs print.")] = False,
) -> None:
    """Tell what happens in a run as people read it, to its end; exits with its failure."""
    speaker = Speaker()
    with connected() as client:
        for event in client.runs.events(run_id, verbosity="full" if output else "events"):
            if output and (text := output_of(event)):
                speaker.end()
                show(text, end="")
            else:
                speaker.take(event)
    if speaker.failure is not None:
        raise speaker.failure


@app.command("cancel")
def cancel_run(run_id: RunId, *, as_json: Json = False) -> None:
    """Cancel a run; what it has said and spent so far stays."""
    with connected() as client:
        run = client.runs.cancel(run_id)
    show_json(run) if as_json else say(f"run {run_id} is {run['status']}")


@app.command("resume")
def resume_run(run_id: RunId, *, as_json: Json = False) -> None:
    """Drive an interrupted run on from its last recorded step."""
    with connected() as client:
        run = client.runs.resume(run_id)
    show_json(run) if as_json else say(f"run {run_id} is {run['status']}")


def line_of(event: Event) -> str:
    """An event on one line, with its id."""
    return f"{event.id:>5}  {event.name:<18} {_gist(event)}".rstrip()


def _gist(event: Event) -> str:
    data = event.data
    if (work := told_of(event)) is not None:
        return work
    match event.name:
        case "message.delta" | "message.completed" | "reasoning.delta":
            return repr(data["text"])
        case "tool.called":
            return call_of(data)
        case "run.completed":
            return f"{data['usage']['total_tokens']} tokens"
        case "run.failed":
            return str(data["error"]["detail"])
        case _:
            return ", ".join(f"{name}={value!r}" for name, value in data.items() if name not in {"run_id", "seq", "at"})
