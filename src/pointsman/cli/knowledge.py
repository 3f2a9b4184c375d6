"""`pointsman knowledge`: files that agents and people search."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import confirm
from pointsman.cli.options import Json, Most, Yes
from pointsman.cli.output import fields, say, show_json, table
from pointsman.client.client import PointsmanClient
from pointsman.client.knowledge import OWN, File, Passage

app = typer.Typer(help="Files that agents and people search.", no_args_is_help=True, rich_markup_mode=None, add_completion=False)

FileId = Annotated[str, typer.Argument(help="Id of the file.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose knowledge; `-` is that of the key's own tenant.")]
Collection = Annotated[str | None, typer.Option("--collection", help="Of which collection.")]


class Mode(StrEnum):
    """How a search finds."""

    HYBRID = "hybrid"
    TEXT = "text"
    VECTOR = "vector"


_SHOWN = ["file_id", "original_filename", "collection_id", "file_type", "status", "knowledge_status", "chunks", "size"]


@app.command("upload")
def upload_file(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file.")],
    *,
    collection: Collection = None,
    tenant: Tenant = OWN,
    project: Annotated[bool, typer.Option("--project", help="A file of a project: agents find it with its collection only.")] = False,
    metadata: Annotated[str | None, typer.Option("--metadata", help="A JSON object that searches may ask for.")] = None,
    file_id: Annotated[str | None, typer.Option("--id", help="Replace the content of this file.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until it is indexed.")] = True,
    as_json: Json = False,
) -> None:
    """Send a file and have it indexed."""
    given = {"file_type": "project" if project else "company", "metadata": metadata, "file_id": file_id}
    with connected() as client:
        with path.open("rb") as opened:
            sent = {name: value for name, value in given.items() if value is not None}
            file = client.knowledge.upload(path.name, opened, collection=collection, tenant=tenant, fields=sent)
        if wait:
            file = _followed(client, file, tenant)
    show_json(file) if as_json else say(f"{file['original_filename']}: file {file['file_id']}, {_how(file)}")


@app.command("tenants")
def list_tenants(*, most: Most = 50, as_json: Json = False) -> None:
    """List the tenants that have files, and how many of them failed or are outdated."""
    with connected() as client:
        found = list(client.knowledge.tenants(most=most))
    show_json(found) if as_json else table(found, ["tenant_id", "files", "failed", "outdated"])


@app.command("list")
def list_files(
    *,
    collection: Collection = None,
    tenant: Tenant = OWN,
    status: Annotated[str | None, typer.Option("--status", help="Only these, such as failed or deleted.")] = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List files, newest first."""
    with connected() as client:
        found = list(client.knowledge.list(collection=collection, status=status, tenant=tenant, most=most))
    show_json(found) if as_json else table(found, _SHOWN)


@app.command("show")
def show_file(file_id: FileId, *, tenant: Tenant = OWN, as_json: Json = False) -> None:
    """Show a file and how it is indexed."""
    with connected() as client:
        file = client.knowledge.read(file_id, tenant=tenant)
    show_json(file) if as_json else fields(file)


@app.command("reindex")
def reindex_files(
    file_id: Annotated[str | None, typer.Argument(help="Id of the file; leave it out with --outdated, --failed or --all.")] = None,
    *,
    outdated: Annotated[bool, typer.Option("--outdated", help="All that another embedder indexed.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="All that could not be indexed.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All files.")] = False,
    collection: Collection = None,
    tenant: Tenant = OWN,
    every_tenant: Annotated[bool, typer.Option("--every-tenant", help="Of all tenants that the key sees.")] = False,
    as_json: Json = False,
) -> None:
    """Have a file indexed anew and wait for it, or have many indexed anew; meanwhile they are found as they were."""
    chosen = [name for name, is_chosen in (("outdated", outdated), ("failed", failed), ("all", every)) if is_chosen]
    if len(chosen) + (file_id is not None) != 1 or (file_id is not None and collection is not None):
        raise CommandRefused("That is not one file or one kind of files.", hint="Give a file's id, or one of --outdated, --failed, --all.")
    with connected() as client:
        if file_id is None:
            tenants = [one["tenant_id"] for one in client.knowledge.tenants()] if every_tenant else [tenant]
            files = sum(client.knowledge.reindex_all(chosen[0], collection=collection, tenant=one) for one in tenants)
            show_json({"files": files}) if as_json else say(
                f"{files} files are indexed anew; `pointsman knowledge list` shows how far they are"
            )
            return
        file = _followed(client, client.knowledge.reindex(file_id, tenant=tenant), tenant)
    show_json(file) if as_json else say(f"{file['original_filename']}: {_how(file)}")


@app.command("search")
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    collection: Annotated[list[str] | None, typer.Option("--collection", help="Only in these collections; can be repeated.")] = None,
    tenant: Tenant = OWN,
    where: Annotated[str | None, typer.Option("--filter", help="A JSON object that a file's metadata must hold.")] = None,
    top: Annotated[int, typer.Option("--top", min=1, max=50, help="Most passages.")] = 8,
    mode: Annotated[Mode, typer.Option("--mode", help="By words, by vectors, or by both where both can be had.")] = Mode.HYBRID,
    rerank: Annotated[bool, typer.Option("--rerank", help="Have a model order what was found.")] = False,
    as_json: Json = False,
) -> None:
    """Find passages, best first, each with where it stands."""
    body: dict[str, Any] = {"query": query, "top_k": top, "mode": mode.value, "rerank": rerank} | (
        {"collection_ids": collection} if collection else {}
    )
    if where is not None:
        body["filter"] = _object(where)
    with connected() as client:
        found = client.knowledge.find(body, tenant=tenant)
    if as_json:
        show_json(found)
        return
    for passage in found["items"]:
        typer.echo(f"[{_place(passage)}]\n{passage['content']}\n")
    say(found["notice"] or f"{len(found['items'])} passages by {found['mode']}")


@app.command("delete")
def delete_file(file_id: FileId, *, tenant: Tenant = OWN, yes: Yes = False) -> None:
    """Delete a file: its text and its content are gone at once."""
    confirm(f"Delete file {file_id} with all that was indexed of it?", yes=yes)
    with connected() as client:
        client.knowledge.delete(file_id, tenant=tenant)
    say(f"deleted file {file_id}")


def _followed(client: PointsmanClient, file: File, tenant: str) -> File:
    for step in client.knowledge.wait(file["file_id"], tenant=tenant):
        say(f"{step['original_filename']}: {step['progress']['step']}")
        file = step
    if file["failure"] is not None:
        raise CommandRefused(f"{file['original_filename']}: {file['failure']['detail']}", hint=file["failure"].get("hint", ""))
    return file


def _how(file: File) -> str:
    return f"{file['knowledge_status'] or file['status']}, {file['chunks']} passages"


def _place(passage: Passage) -> str:
    page = None if passage["page"] is None else f"page {passage['page']}"
    return ", ".join(part for part in (passage["original_filename"], page, passage["heading"]) if part)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CommandRefused(f"--filter {text!r} is no JSON object.", hint="""For instance --filter '{"team": "sales"}'.""")
    return value  # pyright: ignore[reportUnknownVariableType]
