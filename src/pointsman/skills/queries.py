"""Every statement on the tables of skills; returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.kit import json_text
from pointsman.kit.db import Connection
from pointsman.skills.content import Content
from pointsman.skills.folders import File
from pointsman.skills.rows import Skill, SkillVersion

_NEWEST = "(SELECT max(v.version) FROM skill_versions v WHERE v.skill_id = skills.id)"
_SKILL = f"""id, name, description, instructions, category, allowed_tools, tags, created_at, updated_at, is_active,
       coalesce({_NEWEST}, 0) AS version"""
_VERSION = """skill_id, version, name, description, instructions, category, allowed_tools, tags, license, compatibility, metadata,
       created_at, created_by"""

_INSERT = """
INSERT INTO skills (id, name, description, instructions, category, "references", scripts, allowed_tools, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id
"""
_UPDATE = """
UPDATE skills SET name = $2, description = $3, instructions = $4, category = $5, "references" = $6, scripts = $7, allowed_tools = $8,
       tags = $9, is_active = true, updated_at = clock_timestamp()
 WHERE id = $1
"""
_DEACTIVATE = "UPDATE skills SET is_active = false, updated_at = clock_timestamp() WHERE id = $1"
_FIND = f"SELECT {_SKILL} FROM skills WHERE id = $1 AND is_active"
_LOCK = f"SELECT {_SKILL} FROM skills WHERE id = $1 FOR UPDATE OF skills"
# Containment in the whole of `tags`; text is sought as it stands, so that no character of it has a meaning.
_LIST = f"""
SELECT {_SKILL} FROM skills
 WHERE (is_active OR $1::boolean)
   AND ($2::jsonb IS NULL OR tags::jsonb @> $2)
   AND ($3::text IS NULL OR strpos(lower(id), lower($3)) > 0 OR strpos(lower(name), lower($3)) > 0
        OR strpos(lower(description), lower($3)) > 0)
   AND ($4::text IS NULL OR category = $4)
   AND id > $5
 ORDER BY id LIMIT $6
"""
_INSERT_VERSION = """
INSERT INTO skill_versions (skill_id, version, name, description, instructions, category, allowed_tools, tags, license, compatibility,
                            metadata, created_by)
SELECT $1::varchar, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 FROM skill_versions
 WHERE skill_id = $1::varchar
RETURNING version
"""
# In one order, so that two who store the same files cannot wait for each other.
_STORE_BLOBS = """
INSERT INTO skill_blobs (sha256, content)
SELECT DISTINCT ON (sha256) * FROM unnest($1::varchar[], $2::bytea[]) AS given (sha256, content) ORDER BY sha256
ON CONFLICT DO NOTHING
"""
_INSERT_FILES = """
INSERT INTO skill_files (skill_id, version, path, mode, size, sha256)
SELECT $1, $2, * FROM unnest($3::varchar[], $4::int[], $5::int[], $6::varchar[])
"""
_FIND_VERSION = f"SELECT {_VERSION} FROM skill_versions WHERE skill_id = $1 AND version = $2"
_LIST_VERSIONS = f"""
SELECT {_VERSION} FROM skill_versions
 WHERE skill_id = $1 AND ($2::int IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_READ_FILES = """
SELECT path, mode, content FROM skill_files JOIN skill_blobs USING (sha256) WHERE skill_id = $1 AND version = $2 ORDER BY path COLLATE "C"
"""
_FIND_FILE = """
SELECT path, mode, content FROM skill_files JOIN skill_blobs USING (sha256) WHERE skill_id = $1 AND version = $2 AND path = $3
"""
_LIST_PATHS = 'SELECT path FROM skill_files WHERE skill_id = $1 AND version = $2 ORDER BY path COLLATE "C"'
_HOLD = "SELECT id FROM skills WHERE id = ANY($1::varchar[]) AND is_active ORDER BY id FOR SHARE"
_IDS = "SELECT id FROM skills WHERE is_active ORDER BY id LIMIT $1"
_READ = f"SELECT {_SKILL} FROM skills WHERE id = ANY($1::varchar[]) AND is_active"
_SCRIPTS = """
SELECT skill_id, path, sha256 FROM skill_files
  JOIN unnest($1::varchar[], $2::int[]) AS wanted (skill_id, version) USING (skill_id, version)
 WHERE starts_with(path, 'scripts/') ORDER BY path COLLATE "C"
"""


async def insert_skill(connection: Connection, skill_id: str, content: Content) -> bool:
    """Whether the row is new; the id may be taken, also by a deleted skill."""
    return await connection.fetchval(_INSERT, skill_id, *_columns(content)) is not None


async def update_skill(connection: Connection, skill_id: str, content: Content) -> None:
    """The row has this content and is active; the caller has locked it."""
    await connection.execute(_UPDATE, skill_id, *_columns(content))


async def deactivate_skill(connection: Connection, skill_id: str) -> None:
    """Deleted softly; the caller has locked it."""
    await connection.execute(_DEACTIVATE, skill_id)


async def find_skill(connection: Connection, skill_id: str) -> Skill | None:
    """An active skill."""
    row = await connection.fetchrow(_FIND, skill_id)
    return Skill.of(row) if row else None


async def lock_skill(connection: Connection, skill_id: str) -> Skill | None:
    """The row, active or not, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(_LOCK, skill_id)
    return Skill.of(row) if row else None


async def list_skills(
    connection: Connection,
    *,
    tags: Sequence[str],
    category: str | None,
    q: str | None,
    include_inactive: bool,
    after: str | None,
    limit: int,
) -> list[Skill]:
    """By id; with all of `tags`, of this category, with `q` in the id, name or description in any case."""
    wanted = json_text.encode(tags) if tags else None
    rows = await connection.fetch(_LIST, include_inactive, wanted, q or None, category, after or "", limit)
    return [Skill.of(row) for row in rows]


async def insert_version(connection: Connection, skill_id: str, content: Content, created_by: str) -> int:
    """Keep the content as the next version, whose number is returned. The skill is locked by the caller."""
    version: int = await connection.fetchval(
        _INSERT_VERSION,
        skill_id,
        content.name,
        content.description,
        content.instructions,
        content.category,
        json_text.encode(content.allowed_tools),
        json_text.encode(content.tags),
        content.license,
        content.compatibility,
        json_text.encode(content.metadata),
        created_by,
    )
    hashes = [file.sha256 for file in content.files]
    await connection.execute(_STORE_BLOBS, hashes, [file.content for file in content.files])
    paths, modes, sizes = (list(column) for column in _columns_of(content.files))
    await connection.execute(_INSERT_FILES, skill_id, version, paths, modes, sizes, hashes)
    return version


async def find_version(connection: Connection, skill_id: str, version: int) -> SkillVersion | None:
    """One version."""
    row = await connection.fetchrow(_FIND_VERSION, skill_id, version)
    return SkillVersion.of(row) if row else None


async def list_versions(connection: Connection, skill_id: str, *, before: int | None, limit: int) -> list[SkillVersion]:
    """Newest first."""
    return [SkillVersion.of(row) for row in await connection.fetch(_LIST_VERSIONS, skill_id, before, limit)]


async def read_files(connection: Connection, skill_id: str, version: int) -> tuple[File, ...]:
    """The files of a version with their content, by path."""
    return tuple(File(row["path"], row["mode"], row["content"]) for row in await connection.fetch(_READ_FILES, skill_id, version))


async def find_file(connection: Connection, skill_id: str, version: int, path: str) -> File | None:
    """One file of a version."""
    row = await connection.fetchrow(_FIND_FILE, skill_id, version, path)
    return File(row["path"], row["mode"], row["content"]) if row else None


async def list_paths(connection: Connection, skill_id: str, version: int) -> list[str]:
    """The paths of a version's files."""
    return [row["path"] for row in await connection.fetch(_LIST_PATHS, skill_id, version)]


async def hold_skills(connection: Connection, skill_ids: Sequence[str]) -> set[str]:
    """Those of them that are active, which nobody deletes until the transaction ends; others may hold them too."""
    return {row["id"] for row in await connection.fetch(_HOLD, skill_ids)}


async def list_ids(connection: Connection, limit: int) -> list[str]:
    """Ids of active skills."""
    return [row["id"] for row in await connection.fetch(_IDS, limit)]


async def read_skills(connection: Connection, skill_ids: Sequence[str]) -> dict[str, Skill]:
    """Those of them that are active, by id."""
    return {row["id"]: Skill.of(row) for row in await connection.fetch(_READ, skill_ids)}


async def read_scripts(connection: Connection, skills: Sequence[Skill]) -> dict[str, dict[str, str]]:
    """The SHA-256 of each script by its path, by skill, at the versions that the rows say."""
    found: dict[str, dict[str, str]] = {skill.id: {} for skill in skills}
    for row in await connection.fetch(_SCRIPTS, [skill.id for skill in skills], [skill.version for skill in skills]):
        found[row["skill_id"]][row["path"]] = row["sha256"]
    return found


def _columns(content: Content) -> tuple[object, ...]:
    return (
        content.name,
        content.description,
        content.instructions,
        content.category,
        json_text.encode(content.references),
        json_text.encode(content.scripts),
        json_text.encode(content.allowed_tools),
        json_text.encode(content.tags),
    )


def _columns_of(files: Sequence[File]) -> tuple[list[str], list[int], list[int]]:
    return [file.path for file in files], [file.mode for file in files], [len(file.content) for file in files]
