"""What an agent's prompt says of its skills: their names and what each is for."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.skills.rows import PinnedSkill

LONGEST_LINE = 400
"""Bytes of one skill's line: about a hundred tokens, in scripts with more tokens a character too."""

_PREAMBLE = (
    "You have skills: instructions and files for particular kinds of tasks. When a task is of such a kind, call load_skill with the "
    "skill's name before you begin, and follow what it says. Your skills:"
)


def briefing(skills: Sequence[PinnedSkill]) -> str:
    """The paragraph; one line a skill."""
    return "\n".join([_PREAMBLE, *(_line(skill) for skill in skills)])


def _line(skill: PinnedSkill) -> str:
    text = f"- {skill.name}: {' '.join(skill.description.split())}" if skill.description.strip() else f"- {skill.name}"
    raw = text.encode()
    return text if len(raw) <= LONGEST_LINE else f"{raw[: LONGEST_LINE - 3].decode(errors='ignore').rstrip()}…"
