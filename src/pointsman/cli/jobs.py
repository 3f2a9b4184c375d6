"""`pointsman jobs`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import FAILED, CommandRefused
from pointsman.cli.inputs import read_length, read_object
from pointsman.cli.options import Json, Most
from pointsman.cli.output import fields, say, show, show_json, show_json_line, table
from pointsman.client import Event, PointsmanClient
from pointsman.client.jobs import Job

app = typer.Typer(help="Dispatched work: submit, watch, cancel.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

JobId = Annotated[str, typer.Argument(help="Id of the job.")]
Verbosity = Literal["full", "events", "result"]
Lines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")]


@app.command("list")
def list_jobs(
    *,
    status: Annotated[str | None, typer.Option("--status", help="queued, running, awaiting_approval, completed, failed, oom …")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Only on this target.")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Only of this worker pool.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only of this supervised run.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with connected() as client:
        jobs = list(client.jobs.list({"status": status, "target": target, "pool": pool, "run": run}, most=most))
    if as_json:
        show_json(jobs)
        return
    rows = [_row(job) for job in jobs]
    table(rows, ["id", "status", "engine", "target", "tries", "memory_limit_mb", "created_at", "last_failure_reason"])


@app.command("show")
def show_job(job_id: JobId, *, as_json: Json = False) -> None:
    """Show a job, its attempts and its result."""
    with connected() as client:
        job = client.jobs.read(job_id)
    show_json(job) if as_json else fields(job)


@app.command("submit")
def submit_job(
    command: Annotated[list[str] | None, typer.Argument(help="A command and its arguments, after --; for `direct_ops`.")] = None,
    *,
    prompt: Annotated[str | None, typer.Option("--prompt", help="What is to be done.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="Id of the engine; unset: the default one.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Id of the target; unset: chosen.")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Worker pool that targets are chosen from.")] = None,
    memory: Annotated[int | None, typer.Option("--memory", min=16, help="Memory to start at, in MB.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Longest time of running, such as 90s or 15m.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", min=0, max=9, help="Higher ones go first; 5 unless given.")] = None,
    workspace: Annotated[Path | None, typer.Option("--workspace", help="A tar of the files it begins with.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="The request as JSON; - is standard input.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Submit a job."""
    body: dict[str, Any] = read_object(file) if file else {}
    given = {
        "prompt": prompt,
        "engine": engine,
        "target": target,
        "worker_pool": pool,
        "memory_limit_mb": memory,
        "timeout_seconds": read_length(timeout).total_seconds() if timeout else None,
        "priority": priority,
        "workspace": _read_tar(workspace) if workspace else None,
    }
    body |= {name: value for name, value in given.items() if value is not None}
    if command:
        body["job_spec"] = {**body.get("job_spec", {}), "commands": [command]}
    body.setdefault("prompt", " ".join(command or ()))
    with connected() as client:
        job = client.jobs.create(body)
        if watch:
            say(f"job {job['id']}")
            _watch(client, job["id"], after=0, verbosity="full", as_json=as_json)
            return
    show_json(job) if as_json else show(job["id"])


@app.command("watch")
def watch_job(
    job_id: JobId,
    *,
    after: Annotated[int, typer.Option("--after", min=0, help="Only events above this id.")] = 0,
    verbosity: Annotated[Verbosity, typer.Option("--verbosity", help="full has every event, events no output.")] = "full",
    as_json: Lines = False,
) -> None:
    """Print a job's output and events as they come, to its end; the exit code is 0 only if it completed."""
    with connected() as client:
        _watch(client, job_id, after=after, verbosity=verbosity, as_json=as_json)


@app.command("cancel")
def cancel_job(job_id: JobId, *, as_json: Json = False) -> None:
    """End a job; what runs is killed with all that it started."""
    with connected() as client:
        job = client.jobs.cancel(job_id)
    show_json(job) if as_json else say(f"job {job_id} is {job['status']}")


@app.command("retry")
def retry_job(job_id: JobId, *, as_json: Json = False) -> None:
    """Have a job tried again that failed, ran out of memory or met an open circuit breaker."""
    with connected() as client:
        job = client.jobs.retry(job_id)
    show_json(job) if as_json else say(f"job {job_id} is {job['status']}")


@app.command("workspace")
def download_workspace(
    job_id: JobId,
    to: Annotated[Path, typer.Argument(help="The tar to write.")],
    *,
    kind: Annotated[str, typer.Option("--kind", help="out is what it left, in what it began with.")] = "out",
) -> None:
    """Write a tar of a job's files."""
    with connected() as client:
        data = client.jobs.workspace(job_id, kind)
    try:
        to.write_bytes(data)
    except OSError as error:
        raise CommandRefused(f"{to} cannot be written: {error.strerror}.", hint="Name a file in a folder that exists.") from None
    say(f"{to}: {len(data)} bytes")


def _watch(client: PointsmanClient, job_id: str, *, after: int, verbosity: Verbosity, as_json: bool) -> None:
    for event in client.jobs.follow(job_id, after=after, verbosity=verbosity):
        if as_json:
            show_json_line({"id": event.id, "event": event.name, "data": event.data})
        elif event.name == "job.output":
            show(event.data["text"], end="")
        else:
            say(line_of(event))
    _leave_by(client.jobs.read(job_id))


def _row(job: Job) -> dict[str, object]:
    """With where it ran last, or is to run."""
    last = job["attempts"][-1] if job["attempts"] else None
    engine = last["engine_id"] if last else job["engine_id"]
    return {**job, "engine": engine, "target": last["target_id"] if last else job["target_id"], "tries": len(job["attempts"])}


def _leave_by(job: Job) -> None:
    if job["status"] != "completed":
        say(f"job {job['id']} is {job['status']}: {job['last_failure_reason'] or 'without a reason'}")
        raise typer.Exit(FAILED)


def line_of(event: Event) -> str:
    """An event on one line."""
    said = {name: value for name, value in event.data.items() if name not in {"job_id", "run_id", "seq", "at"} and value is not None}
    gist = ", ".join(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in said.items())
    return f"{event.id:>5}  {event.name:<14} {gist}".rstrip()


def _read_tar(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise CommandRefused(f"{path} cannot be read: {error.strerror}.", hint="Make one with `tar cf files.tar -C FOLDER .`.") from None
