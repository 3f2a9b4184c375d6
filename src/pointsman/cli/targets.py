"""`pointsman targets`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import assign, confirm, read_object
from pointsman.cli.options import Everything, Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="Where work runs.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

TargetId = Annotated[str, typer.Argument(help="Id of the target.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call it.")]
Pool = Annotated[str | None, typer.Option("--pool", help="The workers that may use it.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="The target as JSON; - is standard input.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="A field, such as capacity.max_concurrent_jobs=8.")
]


@app.command("list")
def list_targets(
    *,
    kind: Annotated[str | None, typer.Option("--type", help="local, docker, kubernetes, ssh, remote_service or managed_agents.")] = None,
    pool: Pool = None,
    everything: Everything = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List targets by id."""
    with connected() as client:
        targets = list(client.targets.list(kind=kind, worker_pool=pool, include_inactive=everything, most=most))
    if as_json:
        show_json(targets)
        return
    rows = [{**target, **target["capacity"]} for target in targets]
    table(rows, ["id", "type", "worker_pool", "max_concurrent_jobs", "memory_mb", "cpus", "is_active", "name"])


@app.command("show")
def show_target(target_id: TargetId, *, as_json: Json = False) -> None:
    """Show a target with its whole config."""
    with connected() as client:
        target = client.targets.read(target_id)
    show_json(target) if as_json else fields(target)


@app.command("health")
def check_targets(
    target_ids: Annotated[list[str] | None, typer.Argument(help="Ids of targets; none: all.", metavar="TARGET_ID")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Really use targets, and say how that went; the exit code is 1 when one of them is unhealthy."""
    with connected() as client:
        ids = target_ids or [target["id"] for target in client.targets.list()]
        seen = [{"id": target_id, **client.targets.health(target_id)} for target_id in ids]
    show_json(seen) if as_json else table(seen, ["id", "status", "latency_ms", "isolation", "detail"])
    if any(one["status"] != "healthy" for one in seen):
        raise typer.Exit(1)


@app.command("create")
def create_target(
    target_id: TargetId,
    *,
    kind: Annotated[str | None, typer.Option("--type", help="local, docker, kubernetes, ssh, remote_service or managed_agents.")] = None,
    name: Name = None,
    pool: Pool = None,
    file: File = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Describe a place for work; nothing connects to it. A deleted target comes back as now described."""
    body = _body(file, {"id": target_id, "type": kind, "name": name, "worker_pool": pool})
    body.setdefault("name", target_id)
    with connected() as client:
        target = client.targets.create(assign(body, assignments))
    show_json(target) if as_json else say(f"made target {target['id']}")


@app.command("edit")
def edit_target(
    target_id: TargetId,
    *,
    name: Name = None,
    pool: Pool = None,
    file: File = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Change a target by a JSON merge patch; what is not given stays, null takes a field of a config back to its default."""
    patch = assign(_body(file, {"name": name, "worker_pool": pool}), assignments)
    if not patch:
        raise CommandRefused("Nothing was given to change.", hint="For instance: --set capacity.max_concurrent_jobs=8.")
    with connected() as client:
        target = client.targets.update(target_id, patch)
    show_json(target) if as_json else say(f"changed target {target_id}")


@app.command("delete")
def delete_target(target_id: TargetId, *, yes: Yes = False) -> None:
    """Delete a target: no further job goes there."""
    confirm(f"Delete target {target_id}?", yes=yes)
    with connected() as client:
        client.targets.delete(target_id)
    say(f"deleted target {target_id}")


def _body(file: Path | None, given: dict[str, object]) -> dict[str, object]:
    body = read_object(file) if file is not None else {}
    return body | {name: value for name, value in given.items() if value is not None}
