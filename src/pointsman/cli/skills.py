"""`pointsman skills`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from pointsman.cli.connection import connected
from pointsman.cli.exits import CommandRefused
from pointsman.cli.inputs import read_object, read_text
from pointsman.cli.options import Everything, Json, Most, Search, Tags
from pointsman.cli.output import fields, say, show_json, table
from pointsman.skills.content import from_folder
from pointsman.skills.folders import MOST_BYTES, File, folder_of, is_zip, pack_zip, unpack_zip

app = typer.Typer(
    help="Skills: instructions with files, in the open Agent Skills format.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

SkillId = Annotated[str, typer.Argument(help="Id of the skill.")]
Source = Annotated[Path, typer.Argument(metavar="DIR|ZIP", help="The skill's folder, or a zip of it.")]
Instructions = Annotated[str | None, typer.Option("--instructions", help="The text.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="File with the instructions, or - for standard input; a .json file is the whole body.")
]
Name = Annotated[str | None, typer.Option("--name", help="Name to show.")]
Description = Annotated[str | None, typer.Option("--description", help="What it does and when to use it.")]
Category = Annotated[str | None, typer.Option("--category", help="Its category.")]
SetTags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; several times.")]
AllowedTools = Annotated[
    list[str] | None, typer.Option("--allow", metavar="TOOL", help="A tool that may be called while it is active; several times.")
]
Version = Annotated[int | None, typer.Option("--version", min=1, help="This version instead of the newest.")]


@app.command("list")
def list_skills(
    *,
    category: Annotated[str | None, typer.Option("--category", help="Only of this category.")] = None,
    tags: Tags = None,
    search: Search = None,
    everything: Everything = False,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """List skills."""
    with connected() as client:
        skills = list(client.skills.list(category=category, tags=tags, q=search, include_inactive=everything, most=most))
    if as_json:
        show_json(skills)
    else:
        table(skills, ["id", "version", "category", "tags", "updated_at", *(["is_active"] if everything else []), "description"])


@app.command("show")
def show_skill(skill_id: SkillId, *, version: Version = None, as_json: Json = False) -> None:
    """Show a skill with its instructions and the names of its files."""
    with connected() as client:
        skill: Any = client.skills.read_version(skill_id, version) if version else client.skills.read(skill_id)
    if as_json:
        show_json(skill)
        return
    hidden = {"instructions", "references", "scripts", "files"}
    files = [f"{file['path']} ({file['size']} bytes{', executable' if file['executable'] else ''})" for file in skill["files"]]
    shown = {name: value for name, value in skill.items() if name not in hidden}
    fields(shown | {"files": files, "instructions": skill["instructions"]})


@app.command("create")
def create_skill(
    skill_id: Annotated[str, typer.Argument(help="Id of the new skill.")],
    *,
    instructions: Instructions = None,
    file: FileOption = None,
    name: Name = None,
    description: Description = None,
    category: Category = None,
    tags: SetTags = None,
    allow: AllowedTools = None,
    as_json: Json = False,
) -> None:
    """Make a skill; one that was deleted comes back as its next version."""
    body = {"id": skill_id, "name": name or skill_id} | _body(instructions, file, name, description, category, tags, allow)
    if "instructions" not in body:
        raise CommandRefused("The skill has no instructions.", hint="Give --instructions TEXT or --file FILE, or import a folder.")
    with connected() as client:
        skill = client.skills.create(body)
    _told(skill, f"made skill {skill['id']}, version {skill['version']}", as_json=as_json)


@app.command("edit")
def edit_skill(
    skill_id: SkillId,
    *,
    instructions: Instructions = None,
    file: FileOption = None,
    name: Name = None,
    description: Description = None,
    category: Category = None,
    tags: SetTags = None,
    allow: AllowedTools = None,
    as_json: Json = False,
) -> None:
    """Change a skill: a new version, or the same one if nothing changes."""
    patch = _body(instructions, file, name, description, category, tags, allow)
    if not patch:
        raise CommandRefused(
            "Nothing was given to change.", hint="Give --instructions, --file, --description, --category, --tag or --allow."
        )
    with connected() as client:
        skill = client.skills.update(skill_id, patch)
    _told(skill, f"skill {skill_id} is at version {skill['version']}", as_json=as_json)


@app.command("versions")
def list_versions(skill_id: SkillId, *, most: Most = 50, as_json: Json = False) -> None:
    """List a skill's versions, newest first."""
    with connected() as client:
        versions = list(client.skills.versions(skill_id, most=most))
    if as_json:
        show_json(versions)
    else:
        table(versions, ["version", "created_at", "created_by", "description"])


@app.command("rollback")
def rollback_skill(
    skill_id: SkillId, version: Annotated[int, typer.Argument(min=1, help="Version whose content comes back.")], *, as_json: Json = False
) -> None:
    """Make a new version with the content of an old one."""
    with connected() as client:
        skill = client.skills.rollback(skill_id, version)
    _told(skill, f"skill {skill_id} is now version {skill['version']}, with the content of version {version}", as_json=as_json)


@app.command("import")
def import_skill(
    source: Source,
    *,
    skill_id: Annotated[str | None, typer.Option("--id", help="Its id; its name if absent.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make the next version of a skill that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Import a skill from its folder or a zip of it."""
    data = pack_zip("skill", _read(source))
    with connected() as client:
        skill = client.skills.import_zip(data, skill_id=skill_id, replace=replace)
    _told(skill, f"imported skill {skill['id']}, version {skill['version']}", as_json=as_json)


@app.command("export")
def export_skill(
    skill_id: SkillId,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The zip to write; unset: ID.zip.")] = None,
    version: Version = None,
) -> None:
    """Write a skill's folder as a zip."""
    path = out or Path(f"{skill_id}.zip")
    with connected() as client:
        data = client.skills.export(skill_id, version)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandRefused(f"{path} cannot be written: {error.strerror}.", hint="Give another --out.") from error
    say(f"wrote {path}")


@app.command("validate")
def validate_skill(source: Source, *, as_json: Json = False) -> None:
    """Say whether a folder or a zip is a skill that can be imported; asks no gateway."""
    content = from_folder(_read(source))
    found = {"name": content.name, "description": content.description, "files": [file.path for file in content.files]}
    if as_json:
        show_json(found)
    else:
        say(f"{content.name} is a valid skill of {len(content.files)} files")


@app.command("delete")
def delete_skill(skill_id: SkillId) -> None:
    """Delete a skill; its versions are kept, and making it again brings it back."""
    with connected() as client:
        client.skills.delete(skill_id)
    say(f"deleted skill {skill_id}")


def _read(source: Path) -> list[File]:
    """The files of a folder or a zip, as an import takes them. Raises what an import would be refused with."""
    try:
        if source.is_dir():
            return folder_of(_walk(source))
        data = source.read_bytes()
    except OSError as error:
        raise CommandRefused(f"{error.filename or source} cannot be read: {error.strerror}.", hint="Give a folder or a zip.") from error
    if not is_zip(data):
        raise CommandRefused(f"{source} is neither a folder nor a zip.", hint="Give the folder that has the SKILL.md.")
    return unpack_zip(data)


def _walk(folder: Path) -> list[File]:
    """Links are not followed: what they lead to is not the skill's."""
    files: list[File] = []
    left = MOST_BYTES
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in {".git", "__pycache__"})
        for name in sorted(names):
            path = Path(top) / name
            if path.is_symlink() or not path.is_file():
                raise CommandRefused(f"{path} is a link or no file.", hint="A skill has plain files alone.")
            left -= path.stat().st_size
            if left < 0:
                raise CommandRefused(f"The files of {folder} have more than {MOST_BYTES >> 20} MB.", hint="Is it the skill's folder?")
            files.append(File(path.relative_to(folder).as_posix(), path.stat().st_mode & 0o777, path.read_bytes()))
    return files


def _body(
    instructions: str | None,
    file: Path | None,
    name: str | None,
    description: str | None,
    category: str | None,
    tags: list[str] | None,
    allow: list[str] | None,
) -> dict[str, Any]:
    if instructions is not None and file is not None:
        raise CommandRefused("Give --instructions or --file, not both.")
    body: dict[str, Any] = {}
    if file is not None:
        body = read_object(file) if file.suffix == ".json" else {"instructions": read_text(file)}
    given = {
        "instructions": instructions,
        "name": name,
        "description": description,
        "category": category,
        "tags": tags,
        "allowed_tools": allow,
    }
    return body | {key: value for key, value in given.items() if value is not None}


def _told(skill: Any, sentence: str, *, as_json: bool) -> None:
    if as_json:
        show_json(skill)
    else:
        say(sentence)
