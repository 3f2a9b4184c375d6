"""A workspace at a moment, from its tar: which files changed between two of them, and how."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pointsman.execution.ports import Sandbox

_MOST_FILES = 50_000
_MOST_DIFFED = 256 * 1024  # bytes of a file that is shown line by line
_MOST_DIFF = 512 * 1024  # characters of a whole diff


@dataclass(frozen=True, slots=True)
class Tree:
    """Files and links by their paths, each with what tells whether it is the same; folders count only by what is in them."""

    archive: bytes = b""
    prints: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    former: dict[str, str | None] = field(default_factory=dict[str, str | None])  # texts that the archive no longer has

    @classmethod
    def of(cls, archive: bytes) -> Tree:
        """From a tar."""
        prints: dict[str, tuple[str, int]] = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in _members(tar):
                prints[_path(member)] = (_print(tar, member), member.mode & 0o111)
        return cls(archive, prints)

    def former_of(self, paths: list[str]) -> dict[str, Any]:
        """What has to be remembered of these files, as JSON, so that `with_former` knows this tree once they have changed."""
        texts = self.texts(set(paths))
        return {path: {"print": list(self.prints.get(path, ())), "text": texts.get(path)} for path in paths}

    def with_former(self, former: dict[str, Any]) -> Tree:
        """The tree as it was when these files were still as `former_of` says."""
        prints = {path: told for path, told in self.prints.items() if path not in former}
        prints |= {path: (was["print"][0], was["print"][1]) for path, was in former.items() if was["print"]}
        return Tree(self.archive, prints, {path: was["text"] for path, was in former.items() if was["print"]})

    def texts(self, paths: set[str]) -> dict[str, str | None]:
        """The texts of these files; None for one that is no text, or too long to be shown."""
        found = {path: text for path, text in self.former.items() if path in paths}
        paths = (paths & self.prints.keys()) - found.keys()
        if not paths or not self.archive:
            return found
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as tar:
            for member in _members(tar):
                if _path(member) in paths:
                    found[_path(member)] = _text(tar, member)
        return found


async def look(sandbox: Sandbox) -> Tree:
    """The workspace now. Raises TargetFailed, also where it is too large to be carried."""
    archive = await sandbox.download()
    return await asyncio.to_thread(Tree.of, archive)


def changed(before: Tree, after: Tree) -> list[str]:
    """Paths of files that are new, different or gone."""
    return sorted(path for path in before.prints.keys() | after.prints.keys() if before.prints.get(path) != after.prints.get(path))


def unified_diff(before: Tree, after: Tree) -> str:
    """What changed, as a patch that `git apply` and `patch -p1` take; cut where it is too long."""
    paths = changed(before, after)
    old, new = before.texts(set(paths)), after.texts(set(paths))
    whole: list[str] = []
    size = 0
    for path in paths:
        part = _diff_of(path, old.get(path, ""), new.get(path, ""), is_old=path in before.prints, is_new=path in after.prints)
        size += len(part)
        if size > _MOST_DIFF:
            whole.append("[the rest of the diff is left out]\n")
            break
        whole.append(part)
    return "".join(whole)


def _diff_of(path: str, old: str | None, new: str | None, *, is_old: bool, is_new: bool) -> str:
    names = f"a/{path}" if is_old else "/dev/null", f"b/{path}" if is_new else "/dev/null"
    if old is None or new is None:
        return f"Binary files {names[0]} and {names[1]} differ\n"
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), *names)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(tar):
        if number >= _MOST_FILES:
            return
        if member.isfile() or member.issym():
            yield member


def _path(member: tarfile.TarInfo) -> str:
    return member.name.removeprefix("./")


def _print(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    content = tar.extractfile(member)
    return hashlib.sha256(content.read() if content else b"").hexdigest()


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    if member.issym():
        return f"-> {member.linkname}\n"
    content = tar.extractfile(member) if member.size <= _MOST_DIFFED else None
    data = content.read() if content else b"\0"
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
