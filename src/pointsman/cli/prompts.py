"""`pointsman prompts`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import read_object, read_text, read_variables
from pointsman.cli.options import Everything, Json, Most, Search, Tags, Variables
from pointsman.cli.output import fields, say, show, show_json, style, table

app = typer.Typer(help="Prompt templates with versions and labels.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

PromptId = Annotated[str, typer.Argument(help="Id of the prompt.")]
Template = Annotated[str | None, typer.Option("--template", help="The text; {name} is a placeholder.")]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="File with the text, or - for standard input; a .json file is the whole body.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name to show.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]
SetTags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; several times.")]
SetTools = Annotated[
    list[str] | None, typer.Option("--tool", metavar="TOOL", help="A built-in tool that joins the agent's; several times.")
]
Version = Annotated[int | None, typer.Option("--version", min=1, help="This version instead of the newest.")]


@app.command("list")
def list_prompts(
    *, tags: Tags = None, search: Search = None, everything: Everything = False, most: Most = 50, as_json: Json = False
) -> None:
    """List prompts."""
    with connected() as client:
        prompts = list(client.prompts.list(tags=tags, q=search, include_inactive=everything, most=most))
    if as_json:
        show_json(prompts)
    else:
        table(prompts, ["id", "version", "tags", "updated_at", *(["is_active"] if everything else []), "name"])


@app.command("show")
def show_prompt(prompt_id: PromptId, *, version: Version = None, as_json: Json = False) -> None:
    """Show a prompt with its text."""
    with connected() as client:
        prompt: Any = client.prompts.read_version(prompt_id, version) if version else client.prompts.read(prompt_id)
        labels = [] if as_json else [f"{label['label']} → {label['version']}" for label in client.prompts.labels(prompt_id)]
    if as_json:
        show_json(prompt)
    else:
        fields({name: value for name, value in prompt.items() if name != "template"} | {"labels": labels, "template": prompt["template"]})


@app.command("create")
def create_prompt(
    prompt_id: Annotated[str, typer.Argument(help="Id of the new prompt.")],
    *,
    template: Template = None,
    file: File = None,
    name: Name = None,
    description: Description = None,
    tags: SetTags = None,
    tools: SetTools = None,
    as_json: Json = False,
) -> None:
    """Make a prompt; one that was deleted comes back as its next version."""
    body = {"id": prompt_id, "name": name or prompt_id} | _body(template, file, name, description, tags, tools)
    if "template" not in body:
        raise CommandRefused("The prompt has no text.", hint="Give --template TEXT or --file FILE.")
    with connected() as client:
        prompt = client.prompts.create(body)
    _told(prompt, f"made prompt {prompt['id']}, version {prompt['version']}", as_json=as_json)


@app.command("edit")
def edit_prompt(
    prompt_id: PromptId,
    *,
    template: Template = None,
    file: File = None,
    name: Name = None,
    description: Description = None,
    tags: SetTags = None,
    tools: SetTools = None,
    as_json: Json = False,
) -> None:
    """Change a prompt: a new version, or the same one if nothing changes."""
    patch = _body(template, file, name, description, tags, tools)
    if not patch:
        raise CommandRefused("Nothing was given to change.", hint="Give --template, --file, --name, --description, --tag or --tool.")
    with connected() as client:
        before = client.prompts.read(prompt_id)["version"]
        prompt = client.prompts.update(prompt_id, patch)
    changed = prompt["version"] != before
    _told(prompt, f"prompt {prompt_id} is now version {prompt['version']}" + ("" if changed else ": nothing changed"), as_json=as_json)


@app.command("versions")
def list_versions(prompt_id: PromptId, *, most: Most = 50, as_json: Json = False) -> None:
    """List a prompt's versions, newest first."""
    with connected() as client:
        versions = list(client.prompts.versions(prompt_id, most=most))
        labels: dict[int, list[str]] = {}
        for label in client.prompts.labels(prompt_id):
            labels.setdefault(label["version"], []).append(label["label"])
    if as_json:
        show_json(versions)
    else:
        rows = [{**version, "labels": labels.get(version["version"])} for version in versions]
        table(rows, ["version", "created_at", "created_by", "labels", "template"])


@app.command("diff")
def diff_prompt(
    prompt_id: PromptId,
    *,
    before: Annotated[int | None, typer.Option("--from", min=1, help="Version before; unset: the one before --to.")] = None,
    after: Annotated[int | None, typer.Option("--to", min=1, help="Version after; unset: the newest.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two versions."""
    with connected() as client:
        diff = client.prompts.diff(prompt_id, before, after)
    if as_json:
        show_json(diff)
        return
    for line in diff["diff"].splitlines():
        show(coloured(line))
    for name, change in diff["changes"].items():
        if name != "template":
            show(f"{name}: {change['before']!r} → {change['after']!r}")
    if not diff["diff"] and not diff["changes"]:
        say("(no difference)")


@app.command("rollback")
def rollback_prompt(
    prompt_id: PromptId, version: Annotated[int, typer.Argument(min=1, help="Version whose content comes back.")], *, as_json: Json = False
) -> None:
    """Make a new version with the content of an old one."""
    with connected() as client:
        prompt = client.prompts.rollback(prompt_id, version)
    _told(prompt, f"prompt {prompt_id} is now version {prompt['version']}, with the content of version {version}", as_json=as_json)


@app.command("label")
def label_prompt(
    prompt_id: PromptId,
    label: Annotated[str, typer.Argument(help="The label, such as production.")],
    version: Annotated[int | None, typer.Argument(min=1, help="Version it points at from now on.")] = None,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the label.")] = False,
    as_json: Json = False,
) -> None:
    """Make a label, move it to a version, or remove it."""
    if delete == (version is not None):
        raise CommandRefused("Give a version, or --delete.", hint=f"For instance: pointsman prompts label {prompt_id} {label} 3")
    with connected() as client:
        if version is None:
            client.prompts.delete_label(prompt_id, label)
            say(f"removed label {label} of {prompt_id}")
            return
        put = client.prompts.put_label(prompt_id, label, version)
    _told(put, f"{label} of {prompt_id} points at version {version}", as_json=as_json)


@app.command("render")
def render_prompt(
    prompt_id: PromptId,
    *,
    variables: Variables = None,
    version: Version = None,
    label: Annotated[str | None, typer.Option("--label", help="The version that this label points at.")] = None,
    as_json: Json = False,
) -> None:
    """Fill a prompt's placeholders; what is missing stands as it was written, and is named."""
    body: dict[str, Any] = {"variables": read_variables(variables)} | _given(version=version, label=label)
    with connected() as client:
        rendered = client.prompts.render(prompt_id, body)
    if as_json:
        show_json(rendered)
        return
    show(rendered["text"])
    for what in ("missing", "unused"):
        if rendered[what]:
            say(f"{what}: {', '.join(rendered[what])}")


@app.command("delete")
def delete_prompt(prompt_id: PromptId) -> None:
    """Delete a prompt; its versions are kept, and making it again brings it back."""
    with connected() as client:
        client.prompts.delete(prompt_id)
    say(f"deleted prompt {prompt_id}")


def coloured(line: str) -> str:
    """A line of a unified diff."""
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return style(line, colour, sys.stdout) if colour else line


def _body(
    template: str | None, file: Path | None, name: str | None, description: str | None, tags: list[str] | None, tools: list[str] | None
) -> dict[str, Any]:
    if template is not None and file is not None:
        raise CommandRefused("--template and --file are both given.", hint="Give one of them.")
    body: dict[str, Any] = {}
    if file is not None:
        body = read_object(file) if file.suffix == ".json" else {"template": read_text(file)}
    named = [{"type": "builtin", "name": tool} for tool in tools] if tools else None
    return body | _given(template=template, name=name, description=description, tags=tags, tools=named)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _told(value: Any, sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(value)
    else:
        say(sentence)
