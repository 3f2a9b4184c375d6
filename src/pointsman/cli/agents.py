"""`pointsman agents`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import assign, read_object, read_text
from pointsman.cli.options import Everything, Json, Most, Search, Tags
from pointsman.cli.output import fields, say, show_json, table

app = typer.Typer(help="Agents: a prompt, a model and its settings.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

AgentId = Annotated[str, typer.Argument(help="Id of the agent.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="JSON body, or - for standard input; the other options win over it.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="A field, such as config.enable_memory=false; several times.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name to show.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]
Model = Annotated[str | None, typer.Option("--model", help="provider:model.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Id of the prompt it uses.")]
PromptVersion = Annotated[int | None, typer.Option("--prompt-version", min=1, help="Pin it to this version.")]
PromptLabel = Annotated[str | None, typer.Option("--prompt-label", help="Pin it to what this label points at.")]
Template = Annotated[str | None, typer.Option("--template", help="Text of a prompt of its own; @FILE takes it from a file.")]
SetTags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; several times.")]


@app.command("list")
def list_agents(
    *, tags: Tags = None, search: Search = None, everything: Everything = False, most: Most = 50, as_json: Json = False
) -> None:
    """List agents."""
    with connected() as client:
        agents = list(client.agents.list(tags=tags, q=search, include_inactive=everything, most=most))
    if as_json:
        show_json(agents)
        return
    rows = [{**agent, "model": agent["config"].get("model"), "prompt": _prompt(agent)} for agent in agents]
    table(rows, ["id", "model", "prompt", "tags", "updated_at", *(["is_active"] if everything else []), "name"])


@app.command("show")
def show_agent(agent_id: AgentId, *, as_json: Json = False) -> None:
    """Show an agent with its whole config."""
    with connected() as client:
        agent = client.agents.read(agent_id)
    show_json(agent) if as_json else fields(agent)


@app.command("create")
def create_agent(
    agent_id: Annotated[str | None, typer.Argument(help="Id of the new agent; unset: generated, or that of --file.")] = None,
    *,
    file: File = None,
    name: Name = None,
    description: Description = None,
    model: Model = None,
    prompt: Prompt = None,
    prompt_version: PromptVersion = None,
    prompt_label: PromptLabel = None,
    template: Template = None,
    tags: SetTags = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Make an agent on a prompt that exists, or with a template on one of its own; a deleted one comes back as now described."""
    body = _body(file, assignments, name, description, model, prompt, prompt_version, prompt_label, template, tags)
    if agent_id is not None:
        body["id"] = agent_id
    if "name" not in body and "id" in body:
        body["name"] = body["id"]
    if "model" not in body.get("config", {}):
        raise CommandRefused("The agent has no model.", hint="Give --model, such as --model scripted:echo; `pointsman models` lists some.")
    with connected() as client:
        agent = client.agents.create(body)
    show_json(agent) if as_json else say(f"made agent {agent['id']}: try `pointsman chat {agent['id']}`")


@app.command("edit")
def edit_agent(
    agent_id: AgentId,
    *,
    file: File = None,
    name: Name = None,
    description: Description = None,
    model: Model = None,
    prompt: Prompt = None,
    prompt_version: PromptVersion = None,
    prompt_label: PromptLabel = None,
    template: Template = None,
    tags: SetTags = None,
    assignments: Assignments = None,
    as_json: Json = False,
) -> None:
    """Change an agent by a JSON merge patch; what is not given stays, null clears (--set prompt_version=null)."""
    patch = _body(file, assignments, name, description, model, prompt, prompt_version, prompt_label, template, tags)
    if not patch:
        raise CommandRefused(
            "Nothing was given to change.", hint="For instance: --model openai:gpt-6-luna, or --set config.num_history_runs=5."
        )
    with connected() as client:
        agent = client.agents.update(agent_id, patch)
    show_json(agent) if as_json else say(f"changed agent {agent_id}")


@app.command("delete")
def delete_agent(agent_id: AgentId) -> None:
    """Delete an agent, and the prompt that was made with it unless another agent uses it."""
    with connected() as client:
        client.agents.delete(agent_id)
    say(f"deleted agent {agent_id}")


def _body(
    file: Path | None,
    assignments: list[str] | None,
    name: str | None,
    description: str | None,
    model: str | None,
    prompt: str | None,
    prompt_version: int | None,
    prompt_label: str | None,
    template: str | None,
    tags: list[str] | None,
) -> dict[str, Any]:
    body = read_object(file) if file is not None else {}
    text = read_text(Path(template[1:])) if template is not None and template.startswith("@") else template
    given = {
        "name": name,
        "description": description,
        "prompt_service_id": prompt,
        "prompt_version": prompt_version,
        "prompt_label": prompt_label,
        "template": text,
        "tags": tags,
    }
    body |= {field: value for field, value in given.items() if value is not None}
    if model is not None:
        body["config"] = {**body.get("config", {}), "model": model}
    return assign(body, assignments)


def _prompt(agent: Any) -> str:
    pin = agent["prompt_version"] or agent["prompt_label"]
    return f"{agent['prompt_service_id']}@{pin}" if pin else agent["prompt_service_id"]
