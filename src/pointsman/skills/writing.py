"""Changes to skills inside the caller's transaction: each makes a version, is audited and announced."""

from __future__ import annotations

from pointsman.audit.service import record
from pointsman.kit.db import Connection
from pointsman.kit.notify import notify
from pointsman.kit.principal import Principal
from pointsman.skills import queries
from pointsman.skills.content import Content
from pointsman.skills.errors import SkillExists, SkillNotFound, SkillVersionNotFound
from pointsman.skills.folders import File
from pointsman.skills.rows import Skill, SkillVersion

TOPIC = "skills"


async def create_skill(
    connection: Connection, principal: Principal, skill_id: str, content: Content, *, action: str = "skill.created", replace: bool = False
) -> None:
    """The new skill, or a deleted one brought back as its next version; with `replace` also the next version of one that is there.

    Raises SkillExists.
    """
    if await queries.insert_skill(connection, skill_id, content):
        await _keep(connection, principal, skill_id, content, action)
        return
    old = await lock_skill(connection, skill_id)
    if not old.is_active:
        await _change(connection, principal, skill_id, content, "skill.restored")
    elif replace:
        await edit_skill(connection, principal, old, content, action)
    else:
        raise SkillExists(
            f"An active skill has the id {skill_id}.",
            hint=f"Choose another id, change it with PATCH /v2/skills/{skill_id}, or import with ?replace=true.",
        )


async def edit_skill(connection: Connection, principal: Principal, skill: Skill, content: Content, action: str = "skill.updated") -> None:
    """The skill at its next version, or as it is where nothing changes. The row is locked by the caller."""
    if await read_content(connection, skill.id, skill.version) != content:
        await _change(connection, principal, skill.id, content, action)


async def delete_skill(connection: Connection, principal: Principal, skill: Skill) -> None:
    """Deleted softly; versions stay. The row is locked by the caller."""
    if skill.is_active:
        await queries.deactivate_skill(connection, skill.id)
        await _announce(connection, principal, "skill.deleted", skill.id, {})


async def lock_skill(connection: Connection, skill_id: str) -> Skill:
    """The row, active or not, locked until the transaction ends. Raises SkillNotFound."""
    skill = await queries.lock_skill(connection, skill_id)
    if skill is None:
        raise not_found(skill_id)
    return skill


async def lock_active_skill(connection: Connection, skill_id: str) -> Skill:
    """An active skill, locked until the transaction ends. Raises SkillNotFound."""
    skill = await lock_skill(connection, skill_id)
    if not skill.is_active:
        raise not_found(skill_id)
    return skill


async def require_version(connection: Connection, skill_id: str, version: int) -> SkillVersion:
    """One version. Raises SkillVersionNotFound."""
    found = await queries.find_version(connection, skill_id, version)
    if found is None:
        raise SkillVersionNotFound(f"The skill {skill_id} has no version {version}.")
    return found


async def read_content(connection: Connection, skill_id: str, version: int) -> Content:
    """What a version consists of, its files' content included. Raises SkillVersionNotFound."""
    return content_of(await require_version(connection, skill_id, version), files=await queries.read_files(connection, skill_id, version))


def content_of(row: SkillVersion, files: tuple[File, ...]) -> Content:
    """A version's row and its files together."""
    return Content(
        name=row.name,
        description=row.description,
        instructions=row.instructions,
        category=row.category,
        allowed_tools=row.allowed_tools,
        tags=row.tags,
        license=row.license,
        compatibility=row.compatibility,
        metadata=row.metadata,
        files=files,
    )


def not_found(skill_id: str) -> SkillNotFound:
    """The problem for an id that is unknown or deleted."""
    return SkillNotFound(
        f"There is no active skill {skill_id}.", hint="GET /v2/skills lists them; creating a deleted one again restores its versions."
    )


async def _change(connection: Connection, principal: Principal, skill_id: str, content: Content, action: str) -> None:
    await queries.update_skill(connection, skill_id, content)
    await _keep(connection, principal, skill_id, content, action)


async def _keep(connection: Connection, principal: Principal, skill_id: str, content: Content, action: str) -> None:
    version = await queries.insert_version(connection, skill_id, content, principal.key_name)
    await _announce(connection, principal, action, skill_id, {"version": version})


async def _announce(connection: Connection, principal: Principal, action: str, skill_id: str, detail: dict[str, object]) -> None:
    """Into the log of changes, and to every process's caches at commit."""
    await record(connection, principal, action, "skill", skill_id, detail)
    await notify(connection, TOPIC, skill_id)
