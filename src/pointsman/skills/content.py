"""What a version of a skill consists of, how a folder becomes one, and what an edit makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pointsman.skills.folders import EXECUTABLE, PLAIN, File, folder_of, require_path
from pointsman.skills.format import MANIFEST, Manifest, name_for, read_manifest, write_manifest

REFERENCES, SCRIPTS = "references", "scripts"
_CATEGORY, _TAGS, _TITLE = "category", "tags", "title"
_LONGEST_CATEGORY, _LONGEST_TAG, _MOST_TAGS = 255, 100, 50


@dataclass(frozen=True, slots=True)
class Content:
    """A version. Its SKILL.md is among `files` as it was imported; where it is not, the fields say what it is."""

    name: str
    description: str | None
    instructions: str
    category: str | None
    allowed_tools: list[str]
    tags: list[str]
    license: str | None
    compatibility: str | None
    metadata: dict[str, str]
    files: tuple[File, ...]

    @property
    def references(self) -> list[dict[str, str]]:
        """The files below `references/` that are text."""
        return _texts(self.files, REFERENCES)

    @property
    def scripts(self) -> list[dict[str, str]]:
        """The files below `scripts/` that are text."""
        return _texts(self.files, SCRIPTS)


def from_folder(files: Sequence[File]) -> Content:
    """A skill's folder as a version. Raises SkillInvalid."""
    raw = next(file for file in files if file.path == MANIFEST)
    said = read_manifest(raw.content)
    known = {name: value for name, value in said.metadata.items() if name not in {_CATEGORY, _TAGS}}
    tags = [tag.strip()[:_LONGEST_TAG] for tag in said.metadata.get(_TAGS, "").split(",")]
    return Content(
        name=said.name,
        description=said.description,
        instructions=said.instructions,
        category=said.metadata.get(_CATEGORY, "").strip()[:_LONGEST_CATEGORY] or None,
        allowed_tools=said.allowed_tools,
        tags=list(dict.fromkeys(tag for tag in tags if tag))[:_MOST_TAGS],
        license=said.license,
        compatibility=said.compatibility,
        metadata=known,
        files=tuple(files),
    )


def to_folder(content: Content, skill_id: str) -> tuple[str, list[File]]:
    """The folder's name and its files: what was imported as it was, what was written here as the format wants it."""
    name = name_for(content.name, skill_id)
    return name, list(_complete(content, name))


def edited(content: Content, changes: Mapping[str, Any]) -> Content:
    """The version with these fields changed. A file that is given again unchanged keeps its mode, one that is no text stays.

    Raises SkillArchiveRefused, SkillTooLarge for names and sizes.
    """
    fields = dict(changes)
    files = content.files
    for folder in (REFERENCES, SCRIPTS):
        if folder in fields:
            files = _replaced(files, folder, fields.pop(folder))
    after = replace(content, **fields, files=files)
    if _described(after, after.name) != _described(content, content.name):
        after = replace(after, files=tuple(file for file in files if file.path != MANIFEST))
    # Checked as an upload is: what two references are called must be two files on any system.
    folder_of(_complete(after, after.name))
    return after


def _complete(content: Content, name: str) -> tuple[File, ...]:
    if any(file.path == MANIFEST for file in content.files):
        return content.files
    return (File(MANIFEST, PLAIN, write_manifest(_described(content, name))), *content.files)


def _described(content: Content, name: str) -> Manifest:
    metadata = dict(content.metadata)
    if name != content.name:
        metadata.setdefault(_TITLE, content.name)
    if content.category:
        metadata[_CATEGORY] = content.category
    if content.tags:
        metadata[_TAGS] = ", ".join(content.tags)
    return Manifest(
        name=name,
        description=(content.description or "").strip() or content.name.strip(),
        instructions=content.instructions.strip(),
        license=content.license,
        compatibility=content.compatibility,
        metadata=metadata,
        allowed_tools=content.allowed_tools,
    )


def _texts(files: Iterable[File], folder: str) -> list[dict[str, str]]:
    inside = ((file.path.removeprefix(f"{folder}/"), file.text) for file in files if file.path.startswith(f"{folder}/"))
    return [{"name": name, "content": text} for name, text in inside if text is not None]


def _replaced(files: Sequence[File], folder: str, given: Sequence[Mapping[str, str]]) -> tuple[File, ...]:
    old = {file.path: file for file in files}
    kept = [file for file in files if not file.path.startswith(f"{folder}/") or file.text is None]
    mode = EXECUTABLE if folder == SCRIPTS else PLAIN
    made: list[File] = []
    for item in given:
        path = require_path(f"{folder}/{item['name']}")
        before = old.get(path)
        made.append(File(path, before.mode if before else mode, item["content"].encode()))
    return tuple(sorted([*kept, *made]))
