"""Skills in use: read at the version that the run pinned, their scripts run only while nobody has edited them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

from pointsman.kit.db import Database
from pointsman.skills import queries
from pointsman.skills.content import SCRIPTS
from pointsman.skills.errors import SkillScriptRefused, SkillVersionNotFound
from pointsman.skills.folders import File
from pointsman.skills.format import MANIFEST
from pointsman.skills.rows import PinnedSkill
from pointsman.skills.running import Scripts

_LONGEST = 100_000  # characters of a file that a model is given at once
_INTERPRETERS = {".py": "python3", ".sh": "sh", ".bash": "bash", ".js": "node", ".rb": "ruby", ".pl": "perl"}


class SkillShelf:
    """See `skills.tools.Shelf`."""

    def __init__(self, db: Database, scripts: Scripts) -> None:
        self._db = db
        self._scripts = scripts

    async def instructions(self, skill: PinnedSkill) -> tuple[str, list[str]]:
        async with self._db.connection() as connection:
            version = await queries.find_version(connection, skill.id, skill.version)
            paths = await queries.list_paths(connection, skill.id, skill.version)
        if version is None:
            raise SkillVersionNotFound(f"The skill {skill.name} has no version {skill.version} any more.")
        return version.instructions, [path for path in paths if path != MANIFEST]

    async def read(self, skill: PinnedSkill, path: str) -> str:
        async with self._db.connection() as connection:
            file = await queries.find_file(connection, skill.id, skill.version, path) if "\0" not in path else None
            known = [] if file else await queries.list_paths(connection, skill.id, skill.version)
        if file is None:
            raise SkillScriptRefused(f"The skill {skill.name} has no file {path[:200]!r}.{_listed(path, known)}")
        if file.text is None:
            raise SkillScriptRefused(f"{path} is no text: {len(file.content)} bytes, SHA-256 {file.sha256}. Only scripts can use it.")
        if len(file.text) > _LONGEST:
            return f"{file.text[:_LONGEST]}\n(Cut off: the file has {len(file.text)} characters.)"
        return file.text

    async def run(self, skill: PinnedSkill, script: str, args: Sequence[str], stdin: str) -> tuple[dict[str, Any], bool]:
        path = script if script.startswith(f"{SCRIPTS}/") else f"{SCRIPTS}/{script}"
        if path not in skill.scripts:
            raise SkillScriptRefused(f"The skill {skill.name} has no script {script[:200]!r}.{_listed(path, list(skill.scripts))}")
        files = await self._unchanged(skill, path)
        argv = [*_interpreter(next(file for file in files if file.path == path)), *args]
        ran = await self._scripts.run(files, argv, stdin.encode())
        return ran.told(), ran.went_well

    async def _unchanged(self, skill: PinnedSkill, path: str) -> tuple[File, ...]:
        """The files of the pinned version, which is the newest one still. Raises SkillScriptRefused."""
        async with self._db.connection() as connection:
            newest = await queries.find_skill(connection, skill.id)
            files = await queries.read_files(connection, skill.id, skill.version)
        pinned = skill.scripts[path]
        if newest is None or newest.version != skill.version:
            became = "was deleted since" if newest is None else f"is at version {newest.version} now"
            raise SkillScriptRefused(
                f"{path} (SHA-256 {pinned}) was not run: this run began with version {skill.version} of {skill.name}, which {became}.",
                hint="Ask again: a new run works with the skill as it is now.",
            )
        if not any(file.path == path and file.sha256 == pinned for file in files):
            raise SkillScriptRefused(f"{path} was not run: it is not the script with the SHA-256 {pinned} that this run began with.")
        return files


def _interpreter(script: File) -> list[str]:
    """How the script is started: by its first line, else by its name's ending."""
    first = script.content.partition(b"\n")[0]
    # A carriage return would become part of the interpreter's name.
    if first.startswith(b"#!") and not first.endswith(b"\r"):
        return [f"./{script.path}"]
    program = _INTERPRETERS.get(PurePosixPath(script.path).suffix)
    if program is None:
        endings = ", ".join(_INTERPRETERS)
        raise SkillScriptRefused(f"{script.path} cannot be run: it has no first line #! and its name ends with none of {endings}.")
    return [program, script.path]


def _listed(path: str, known: Sequence[str]) -> str:
    close = get_close_matches(path, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" There are: {', '.join(known[:20]) or 'none'}."
