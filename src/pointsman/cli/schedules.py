"""`pointsman schedules`: agents and teams that are asked by the clock."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="Agents and teams that are asked by the clock.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

ScheduleId = Annotated[str, typer.Argument(help="Id of the schedule.")]


@app.command("list")
def list_schedules(*, most: Most = 50, as_json: Json = False) -> None:
    """List schedules and when each comes next."""
    with connected() as client:
        found = list(client.schedules.list(most=most))
    if as_json:
        show_json(found)
        return
    table(found, ["id", "subject_type", "subject_id", "cron", "timezone", "paused", "next_at"])


@app.command("show")
def show_schedule(schedule_id: ScheduleId, *, as_json: Json = False) -> None:
    """Show a schedule."""
    with connected() as client:
        schedule = client.schedules.read(schedule_id)
    show_json(schedule) if as_json else fields(schedule)


@app.command("create")
def create_schedule(
    cron: Annotated[str, typer.Argument(help="Minute, hour, day of month, month, day of week: '0 9 * * 1-5'.")],
    message: Annotated[str, typer.Argument(help="What is asked each time.")],
    *,
    subject: Annotated[str, typer.Option("--ask", metavar="TYPE:ID", help="Whom: agent:support or team:night-watch.")],
    schedule_id: Annotated[str | None, typer.Option("--id", help="Id of the schedule; unset: one is made.")] = None,
    timezone: Annotated[str, typer.Option("--timezone", help="IANA time zone of the expression.")] = "UTC",
    missed: Annotated[str, typer.Option("--missed", help="Of times that came while no gateway ran: skip, or the latest once.")] = "skip",
    user: Annotated[str | None, typer.Option("--user", help="For which user of the tenant.")] = None,
    as_json: Json = False,
) -> None:
    """Have an agent or a team asked by the clock, in the name of the key that you use."""
    subject_type, separator, subject_id = subject.partition(":")
    if not (separator and subject_id):
        raise CommandRefused(f"--ask {subject!r} is not TYPE:ID.", hint="For instance --ask agent:support.")
    request: dict[str, Any] = {"message": message} | ({"user_id": user} if user else {})
    body: dict[str, Any] = {"subject_type": subject_type, "subject_id": subject_id, "cron": cron, "timezone": timezone}
    body |= {"missed": missed, "request": request} | ({"id": schedule_id} if schedule_id else {})
    with connected() as client:
        made = client.schedules.create(body)
    show_json(made) if as_json else say(f"made schedule {made['id']}, next at {made['next_at']}")


@app.command("pause")
def pause_schedule(schedule_id: ScheduleId) -> None:
    """Let its times pass until it is resumed."""
    with connected() as client:
        client.schedules.update(schedule_id, {"paused": True})
    say(f"paused schedule {schedule_id}")


@app.command("resume")
def resume_schedule(schedule_id: ScheduleId) -> None:
    """Go on with a paused schedule, from its next time."""
    with connected() as client:
        schedule = client.schedules.update(schedule_id, {"paused": False})
    say(f"schedule {schedule_id} comes next at {schedule['next_at']}")


@app.command("fires")
def list_fires(schedule_id: ScheduleId, *, most: Most = 50, as_json: Json = False) -> None:
    """List the times that came: the run of each, or why there is none."""
    with connected() as client:
        found = list(client.schedules.fires(schedule_id, most=most))
    if as_json:
        show_json(found)
        return
    table([{**fire, "problem": (fire["problem"] or {}).get("detail")} for fire in found], ["due_at", "status", "run_id", "problem"])


@app.command("delete")
def delete_schedule(schedule_id: ScheduleId, *, yes: Yes = False) -> None:
    """Delete a schedule; runs that it began go on."""
    confirm(f"Delete schedule {schedule_id}?", yes=yes)
    with connected() as client:
        client.schedules.delete(schedule_id)
    say(f"deleted schedule {schedule_id}")
