"""`pointsman engines`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import assign, confirm, read_object
from pointsman.cli.options import Everything, Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="How work is done.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

EngineId = Annotated[str, typer.Argument(help="Id of the engine.")]
Name = Annotated[str | None, typer.Option("--name", help="What to call it.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="The engine as JSON; - is standard input.")]
Provider = Annotated[str | None, typer.Option("--provider", help="Model provider of a code agent that names no model.")]
Default = Annotated[bool | None, typer.Option("--default/--no-default", help="Whether jobs that name no engine use it.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="A field, such as handler_config.model=openai:gpt-6-luna.")
]


@app.command("list")
def list_engines(
    *,
    kind: Annotated[str | None, typer.Option("--type", help="code_agent, managed_agent, direct_ops or custom.")] = None,
    everything: Everything = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List engines by id."""
    with connected() as client:
        engines = list(client.engines.list(kind=kind, include_inactive=everything, most=most))
    show_json(engines) if as_json else table(engines, ["id", "type", "provider", "is_default", "is_active", "name"])


@app.command("show")
def show_engine(engine_id: EngineId, *, as_json: Json = False) -> None:
    """Show an engine with its whole config."""
    with connected() as client:
        engine = client.engines.read(engine_id)
    show_json(engine) if as_json else fields(engine)


@app.command("create")
def create_engine(
    engine_id: EngineId,
    *,
    kind: Annotated[str | None, typer.Option("--type", help="code_agent, managed_agent, direct_ops or custom.")] = None,
    name: Name = None,
    provider: Provider = None,
    default: Default = None,
    file: File = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Describe a way of doing work; a deleted engine comes back as now described."""
    body = _body(file, {"id": engine_id, "type": kind, "name": name, "provider": provider, "is_default": default})
    body.setdefault("name", engine_id)
    with connected() as client:
        engine = client.engines.create(assign(body, assignments))
    show_json(engine) if as_json else say(f"made engine {engine['id']}")


@app.command("edit")
def edit_engine(
    engine_id: EngineId,
    *,
    name: Name = None,
    provider: Provider = None,
    default: Default = None,
    file: File = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Change an engine by a JSON merge patch; what is not given stays, null takes a field of the config back to its default."""
    patch = assign(_body(file, {"name": name, "provider": provider, "is_default": default}), assignments)
    if not patch:
        raise CommandRefused("Nothing was given to change.", hint="For instance: --set handler_config.model=openai:gpt-6-luna.")
    with connected() as client:
        engine = client.engines.update(engine_id, patch)
    show_json(engine) if as_json else say(f"changed engine {engine_id}")


@app.command("delete")
def delete_engine(engine_id: EngineId, *, yes: Yes = False) -> None:
    """Delete an engine: no further job uses it."""
    confirm(f"Delete engine {engine_id}?", yes=yes)
    with connected() as client:
        client.engines.delete(engine_id)
    say(f"deleted engine {engine_id}")


def _body(file: Path | None, given: dict[str, object]) -> dict[str, object]:
    body = read_object(file) if file is not None else {}
    return body | {name: value for name, value in given.items() if value is not None}
