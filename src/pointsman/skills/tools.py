"""The tools that an agent with skills has beside its own: to load one, to read its files, to run its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Protocol, TypeVar

import msgspec

from pointsman.approvals.rows import Asking
from pointsman.llm.port import ToolCall, ToolSpec
from pointsman.skills.rows import PinnedSkill
from pointsman.turns.ports import Toolbox, ToolOutcome, Waits

LOAD, READ, RUN = "load_skill", "read_skill_file", "run_skill_script"
TOOLS = (LOAD, READ, RUN)
MOST_ARGS, LONGEST_ARG, LONGEST_STDIN = 64, 8192, 262_144
_LOADED = "Skill: "


class Shelf(Protocol):
    """What is done with a skill at the version that is pinned; raises a Problem that a model can read."""

    async def instructions(self, skill: PinnedSkill) -> tuple[str, list[str]]:
        """The instructions, and the paths of its files."""
        ...

    async def read(self, skill: PinnedSkill, path: str) -> str:
        """A file with text."""
        ...

    async def run(self, skill: PinnedSkill, script: str, args: Sequence[str], stdin: str) -> tuple[dict[str, Any], bool]:
        """Run a script: how it went, and whether it went well."""
        ...


class SkillTools:
    """A toolbox with those of skills added."""

    def __init__(self, inner: Toolbox, skills: Sequence[PinnedSkill], shelf: Shelf) -> None:
        self._inner = inner
        self._skills = {skill.name: skill for skill in skills}
        self._shelf = shelf
        self._specs = _specs(list(self._skills), scripts=any(skill.scripts for skill in skills))

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered."""
        return (*self._inner.specs, *self._specs)

    async def call(self, call: ToolCall) -> ToolOutcome | Asking | Waits:
        """Run a tool."""
        match call.name:
            case "load_skill":
                return await self._load(call)
            case "read_skill_file":
                return await self._read(call)
            case "run_skill_script":
                return await self._run(call)
            case _:
                return await self._inner.call(call)

    async def _load(self, call: ToolCall) -> ToolOutcome:
        asked, wrong = _decode(call, _Load)
        if asked is None:
            return wrong
        skill = self._skills.get(asked.name)
        if skill is None:
            return self._unknown(asked.name)
        instructions, paths = await self._shelf.instructions(skill)
        said = [f"{_LOADED}{skill.name}", "", instructions]
        if skill.allowed_tools:
            said += ["", f"While this skill is active, you may only call: {', '.join((*skill.allowed_tools, *TOOLS))}."]
        if paths:
            said += ["", f"Its files, for {READ} and {RUN}:", *(f"- {path}" for path in paths)]
        return ToolOutcome("\n".join(said))

    async def _read(self, call: ToolCall) -> ToolOutcome:
        asked, wrong = _decode(call, _Read)
        if asked is None:
            return wrong
        skill = self._skills.get(asked.skill)
        return self._unknown(asked.skill) if skill is None else ToolOutcome(await self._shelf.read(skill, asked.path))

    async def _run(self, call: ToolCall) -> ToolOutcome:
        asked, wrong = _decode(call, _Run)
        if asked is None:
            return wrong
        skill = self._skills.get(asked.skill)
        if skill is None:
            return self._unknown(asked.skill)
        if (fault := _unfit(asked)) is not None:
            return ToolOutcome(fault, is_error=True)
        told, went_well = await self._shelf.run(skill, asked.script, asked.args, asked.stdin)
        return ToolOutcome(msgspec.json.encode(told).decode(), is_error=not went_well)

    def _unknown(self, name: str) -> ToolOutcome:
        close = get_close_matches(name, self._skills, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Your skills: {', '.join(self._skills)}."
        return ToolOutcome(f"You have no skill {name!r}. {hint}", is_error=True)


def loaded_name(content: str) -> str | None:
    """The skill that a result of `load_skill` has loaded."""
    first = content.partition("\n")[0]
    return first.removeprefix(_LOADED) if first.startswith(_LOADED) else None


class _Load(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Read(msgspec.Struct, forbid_unknown_fields=True):
    skill: str
    path: str


class _Run(msgspec.Struct, forbid_unknown_fields=True):
    skill: str
    script: str
    args: list[str] = []
    stdin: str = ""


_T = TypeVar("_T")


def _decode(call: ToolCall, kind: type[_T]) -> tuple[_T | None, ToolOutcome]:
    try:
        return msgspec.json.decode(call.args or "{}", type=kind), ToolOutcome("")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return None, ToolOutcome(f"The arguments do not fit: {error}.", is_error=True)


def _unfit(asked: _Run) -> str | None:
    if len(asked.args) > MOST_ARGS or any(len(arg) > LONGEST_ARG for arg in asked.args):
        return f"A script takes at most {MOST_ARGS} arguments of {LONGEST_ARG} characters; give long text as stdin."
    if any("\0" in arg for arg in asked.args):
        return "An argument holds a NUL, which no program can be given."
    if len(asked.stdin) > LONGEST_STDIN:
        return f"stdin has at most {LONGEST_STDIN} characters."
    return None


def _specs(names: Sequence[str], *, scripts: bool) -> tuple[ToolSpec, ...]:
    name = {"type": "string", "enum": list(names)}
    read = _object({"skill": name, "path": {"type": "string", "description": "As load_skill lists it."}}, ["skill", "path"])
    made = (
        ToolSpec(LOAD, "Load a skill's instructions before you do what it is for.", _object({"name": name}, ["name"])),
        ToolSpec(READ, "Read a file of a skill, such as references/guide.md.", read),
    )
    return (*made, _run_spec(name)) if scripts else made


def _run_spec(name: dict[str, Any]) -> ToolSpec:
    properties = {
        "skill": name,
        "script": {"type": "string", "description": "Its path, such as scripts/check.py."},
        "args": {"type": "array", "items": {"type": "string"}},
        "stdin": {"type": "string", "description": "What it reads from standard input."},
    }
    return ToolSpec(
        RUN,
        "Run a script of a skill in a sandbox without network. You get its exit code and output; files that it writes are gone afterwards.",
        _object(properties, ["skill", "script"]),
    )


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
