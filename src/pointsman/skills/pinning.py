"""The skills of an agent: whether they are there, and which version of each a run works with."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from pointsman.kit.db import Connection
from pointsman.kit.problems import FieldError
from pointsman.skills import queries
from pointsman.skills.errors import SkillMissing, SkillUnknown
from pointsman.skills.format import name_for
from pointsman.skills.rows import PinnedSkill, Skill

_CONSIDERED = 1000  # ids among which a suggestion is sought


async def require_skills(connection: Connection, skill_ids: Sequence[str]) -> None:
    """They are there, and stay until the transaction ends. Raises SkillUnknown, with a suggestion where an id is close."""
    if not skill_ids:
        return
    there = await queries.hold_skills(connection, skill_ids)
    unknown = [skill_id for skill_id in skill_ids if skill_id not in there]
    if not unknown:
        return
    known = await queries.list_ids(connection, _CONSIDERED)
    raise SkillUnknown(
        f"There is no active skill {', '.join(unknown)}.",
        hint=_hint(unknown, known),
        errors=tuple(
            FieldError(f"/config/skills/{index}", f"There is no active skill {skill_id}.{_suggested(skill_id, known)}")
            for index, skill_id in enumerate(skill_ids)
            if skill_id in unknown
        ),
    )


async def pin_skills(connection: Connection, agent_id: str, skill_ids: Sequence[str]) -> tuple[PinnedSkill, ...]:
    """Each at its newest version, in the agent's order. Raises SkillMissing."""
    found = await queries.read_skills(connection, skill_ids)
    missing = [skill_id for skill_id in skill_ids if skill_id not in found]
    if missing:
        raise SkillMissing(
            f"The skill {missing[0]} of the agent {agent_id} does not exist any more.",
            hint=f"Create or import it again, or take it out of config.skills with PATCH /v2/agents/{agent_id}.",
        )
    skills = [found[skill_id] for skill_id in skill_ids]
    scripts = await queries.read_scripts(connection, skills)
    return tuple(_pinned(skill, skills, scripts[skill.id]) for skill in skills)


def _pinned(skill: Skill, all_of_them: Sequence[Skill], scripts: dict[str, str]) -> PinnedSkill:
    name = name_for(skill.name, skill.id)
    # Names may repeat, ids may not: where two skills of an agent would be called the same, both are called by their ids.
    if sum(name_for(other.name, other.id) == name for other in all_of_them) > 1:
        name = skill.id
    return PinnedSkill(skill.id, name, skill.description or "", skill.version, tuple(skill.allowed_tools), scripts)


def _hint(unknown: Sequence[str], known: Sequence[str]) -> str:
    return f"GET /v2/skills lists them.{_suggested(unknown[0], known)}"


def _suggested(skill_id: str, known: Sequence[str]) -> str:
    close = get_close_matches(skill_id, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""
