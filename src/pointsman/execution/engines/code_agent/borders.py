"""Which files of the workspace a code agent may touch, and how what a command did beyond that is put back."""

from __future__ import annotations

import asyncio
import io
import posixpath
import tarfile
from dataclasses import dataclass

from pointsman.execution.engines.workspace import Tree, changed, look
from pointsman.execution.ports import Sandbox
from pointsman.jobs.job_spec import JobSpec


@dataclass(frozen=True, slots=True)
class Borders:
    """Folders by their paths in the workspace; no `allowed` ones: all."""

    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: JobSpec) -> Borders:
        """As a job says."""
        allowed = tuple(_folder(path) for path in spec.allowed_directories)
        return cls(() if "." in allowed else allowed, tuple(_folder(path) for path in spec.forbidden_directories))

    def why_not(self, path: str) -> str:
        """Why a file may not be touched; empty where it may."""
        if any(_is_in(path, folder) for folder in self.forbidden):
            return f"{path} is in a forbidden directory"
        if self.allowed and not any(_is_in(path, folder) for folder in self.allowed):
            return f"{path} is not in one of the allowed directories ({', '.join(self.allowed)})"
        return ""

    def why_not_look(self, folder: str) -> str:
        """Why a folder may not be looked through: nothing in it may be touched."""
        leads_to_one = any(_is_in(allowed, folder) for allowed in self.allowed)
        return "" if leads_to_one else self.why_not(folder)


class Keeper:
    """Knows the workspace as it may be, and puts back what a command did beyond that."""

    def __init__(self, sandbox: Sandbox, borders: Borders, begun: Tree, *, may_delete: bool) -> None:
        """`begun` is the workspace that the job began with: those files are not to be lost."""
        self._sandbox = sandbox
        self._borders = borders
        self._begun = begun
        self._may_delete = may_delete
        self._kept: Tree | None = None

    def why_not_delete(self, path: str) -> str:
        """Why a file may not be deleted; what the job made itself it may always delete."""
        return "" if self._may_delete or path not in self._begun.prints else "allow_delete_files is off"

    def moved(self) -> None:
        """A tool changed something, as it may."""
        self._kept = None

    async def now(self) -> Tree:
        """The workspace as it is, and may be. Raises TargetFailed."""
        if self._kept is None:
            self._kept = await look(self._sandbox)
        return self._kept

    async def put_back(self, before: Tree) -> list[str]:
        """After a command: the paths that had to be put back to how they were `before` it. Raises TargetFailed."""
        after = self._kept = await look(self._sandbox)
        wrong = [path for path in changed(before, after) if self._is_wrong(path, after)]
        if wrong:
            await self._restore(before, wrong)
            self._kept = None
        return wrong

    def _is_wrong(self, path: str, after: Tree) -> bool:
        if self._borders.why_not(path):
            return True
        return path not in after.prints and bool(self.why_not_delete(path))

    async def _restore(self, before: Tree, paths: list[str]) -> None:
        made = [path for path in paths if path not in before.prints]
        if made:
            await self._sandbox.exec(["rm", "-f", "--", *made], on_output=lambda _stream, _data: None)
        lost = {path for path in paths if path in before.prints}
        if lost:
            await self._sandbox.upload(await asyncio.to_thread(_part, before.archive, lost))


def _part(archive: bytes, paths: set[str]) -> bytes:
    """A tar of some members of a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as whole, tarfile.open(fileobj=data, mode="w") as part:
        for member in whole:
            if member.name.removeprefix("./") in paths:
                part.addfile(member, whole.extractfile(member) if member.isfile() else None)
    return data.getvalue()


def _folder(path: str) -> str:
    return posixpath.normpath(path.strip().removeprefix("/workspace").lstrip("/") or ".")


def _is_in(path: str, folder: str) -> bool:
    return folder in {".", path} or path.startswith(f"{folder}/")
