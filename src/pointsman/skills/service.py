"""The verbs of skills, each one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import is_chosen_id, new_id
from pointsman.kit.principal import Principal
from pointsman.skills import queries, writing
from pointsman.skills.content import Content, edited, from_folder, to_folder
from pointsman.skills.errors import SkillArchiveRefused, SkillTooLarge
from pointsman.skills.folders import MOST_FILES, PLAIN, File, folder_of, is_zip, pack_zip, require_path, unpack_zip
from pointsman.skills.format import MANIFEST
from pointsman.skills.rows import Skill
from pointsman.skills.schemas import SkillCreate, SkillItem, SkillPatch, SkillRead, SkillVersionItem, SkillVersionRead
from pointsman.web.paging import Int4, Page, decode_cursor, page_of

Changed = Callable[[str], None]


class Part(NamedTuple):
    """A file as it was uploaded; `name` is its path, as far as it was told."""

    name: str
    content: bytes


class Exported(NamedTuple):
    """A skill as a zip."""

    filename: str
    data: bytes


def _nobody(skill_id: str) -> None:
    del skill_id


class SkillService:
    """Skills and their versions; `changed` is called with the id after each committed change, for caches in this process."""

    def __init__(self, db: Database, *, changed: Changed = _nobody) -> None:
        self._db = db
        self._changed = changed

    async def create_skill(self, principal: Principal, body: SkillCreate) -> SkillRead:
        """The new skill; a deleted one comes back as its next version. Raises SkillExists, SkillArchiveRefused, SkillTooLarge."""
        content = edited(_EMPTY, _given(body))
        async with self._db.transaction() as connection:
            await writing.create_skill(connection, principal, body.id, content)
            skill = await _read(connection, body.id)
        self._changed(body.id)
        return skill

    async def import_skill(
        self, principal: Principal, parts: Sequence[Part], *, skill_id: str | None = None, replace: bool = False
    ) -> SkillRead:
        """A skill from a zip or the files of a folder, called `skill_id`, else by its name.

        `replace` makes the next version of one that is there. Raises SkillArchiveRefused, SkillTooLarge, SkillInvalid, SkillExists.
        """
        content = await asyncio.to_thread(_uploaded, parts)
        chosen = skill_id or (content.name if is_chosen_id(content.name) else new_id("skl"))
        async with self._db.transaction() as connection:
            await writing.create_skill(connection, principal, chosen, content, action="skill.imported", replace=replace)
            skill = await _read(connection, chosen)
        self._changed(chosen)
        return skill

    async def export_skill(self, skill_id: str, version: int | None = None) -> Exported:
        """The skill's folder as a zip, at its newest version unless told otherwise. Raises SkillNotFound, SkillVersionNotFound."""
        async with self._db.connection() as connection:
            skill = await _require(connection, skill_id)
            content = await writing.read_content(connection, skill_id, version or skill.version)
        folder, files = to_folder(content, skill_id)
        return Exported(f"{folder}.zip", await asyncio.to_thread(pack_zip, folder, files))

    async def require_skill(self, skill_id: str) -> SkillRead:
        """An active skill. Raises SkillNotFound."""
        async with self._db.connection() as connection:
            return await _read(connection, skill_id)

    async def list_skills(
        self,
        *,
        tags: Sequence[str] = (),
        category: str | None = None,
        q: str | None = None,
        include_inactive: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[SkillItem]:
        """By id."""
        key = decode_cursor(cursor, str)
        async with self._db.connection() as connection:
            rows = await queries.list_skills(
                connection,
                tags=tags,
                category=category,
                q=q,
                include_inactive=include_inactive,
                after=key[0] if key else None,
                limit=limit + 1,
            )
        return page_of(rows, limit, SkillItem.model_validate, lambda row: (row.id,))

    async def update_skill(self, principal: Principal, skill_id: str, patch: SkillPatch) -> SkillRead:
        """The skill at its next version, or as it is if nothing changes. Raises SkillNotFound, SkillArchiveRefused, SkillTooLarge."""
        async with self._db.transaction() as connection:
            old = await writing.lock_active_skill(connection, skill_id)
            content = await writing.read_content(connection, skill_id, old.version)
            await writing.edit_skill(connection, principal, old, edited(content, _patched(content, patch)))
            skill = await _read(connection, skill_id)
        self._changed(skill_id)
        return skill

    async def rollback_skill(self, principal: Principal, skill_id: str, version: int) -> SkillRead:
        """The next version with the content of an old one. Raises SkillNotFound, SkillVersionNotFound."""
        async with self._db.transaction() as connection:
            old = await writing.lock_active_skill(connection, skill_id)
            content = await writing.read_content(connection, skill_id, version)
            await writing.edit_skill(connection, principal, old, content, "skill.rolled_back")
            skill = await _read(connection, skill_id)
        self._changed(skill_id)
        return skill

    async def delete_skill(self, principal: Principal, skill_id: str) -> None:
        """Deleted softly, repeatable. Raises SkillNotFound for an id that never was."""
        async with self._db.transaction() as connection:
            await writing.delete_skill(connection, principal, await writing.lock_skill(connection, skill_id))
        self._changed(skill_id)

    async def list_versions(self, skill_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[SkillVersionItem]:
        """Newest first."""
        key = decode_cursor(cursor, Int4)
        async with self._db.connection() as connection:
            await _require(connection, skill_id)
            rows = await queries.list_versions(connection, skill_id, before=key[0] if key else None, limit=limit + 1)
        return page_of(rows, limit, SkillVersionItem.model_validate, lambda row: (row.version,))

    async def require_version(self, skill_id: str, version: int) -> SkillVersionRead:
        """One version. Raises SkillNotFound, SkillVersionNotFound."""
        async with self._db.connection() as connection:
            await _require(connection, skill_id)
            row = await writing.require_version(connection, skill_id, version)
            files = await queries.read_files(connection, skill_id, version)
        return SkillVersionRead.of(row, writing.content_of(row, files))


def read_upload(parts: Sequence[Part]) -> list[File]:
    """The folder that was uploaded: one zip, or the files themselves. Raises SkillArchiveRefused, SkillTooLarge."""
    if not parts:
        raise SkillArchiveRefused("Nothing was uploaded.", hint="Send a zip as the part `file`, or the folder's files as several.")
    if len(parts) == 1 and parts[0].name.rpartition("/")[2] != MANIFEST:
        if not is_zip(parts[0].content):
            raise SkillArchiveRefused(
                f"The upload {parts[0].name[:200]!r} is no zip.", hint=f"Send a zip of the folder, or its files, {MANIFEST} among them."
            )
        return unpack_zip(parts[0].content)
    if len(parts) > MOST_FILES:
        raise SkillTooLarge(f"The skill has {len(parts)} files; {MOST_FILES} are the most.")
    return folder_of(File(require_path(part.name), PLAIN, part.content) for part in parts)


def _uploaded(parts: Sequence[Part]) -> Content:
    return from_folder(read_upload(parts))


async def _require(connection: Connection, skill_id: str) -> Skill:
    skill = await queries.find_skill(connection, skill_id)
    if skill is None:
        raise writing.not_found(skill_id)
    return skill


async def _read(connection: Connection, skill_id: str) -> SkillRead:
    skill = await _require(connection, skill_id)
    return SkillRead.of(skill, await writing.read_content(connection, skill_id, skill.version))


def _given(body: SkillCreate) -> dict[str, Any]:
    return body.model_dump(exclude={"id"})


def _patched(content: Content, patch: SkillPatch) -> dict[str, Any]:
    sent = patch.model_dump(include=patch.model_fields_set)
    if "metadata" in sent:
        merged = {**content.metadata, **sent["metadata"]}
        sent["metadata"] = {name: value for name, value in merged.items() if value is not None}
    return sent


_EMPTY = Content(
    name="skill",
    description=None,
    instructions="",
    category=None,
    allowed_tools=[],
    tags=[],
    license=None,
    compatibility=None,
    metadata={},
    files=(),
)
