"""Workspaces as tars: what goes in is checked and owned, what comes out holds files, folders and links only."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from pointsman.execution.errors import SandboxRefused, TargetFailed


def inside(path: str) -> str:
    """The path as one below the workspace, `.` for the workspace itself. Raises SandboxRefused where it leads out of it."""
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise SandboxRefused(f"The path {path[:200]!r} leads out of the workspace.", hint="Name a path within it, without a leading slash.")
    return str(PurePosixPath(*parts)) if parts else "."


def owned(archive: bytes, *, uid: int, gid: int) -> bytes:
    """The same tar with everything in it given to this owner. Raises SandboxRefused for what must not be unpacked."""
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as source, tarfile.open(fileobj=packed, mode="w") as target:
            for member in source:
                if (name := inside(member.name)) != ".":
                    _copy(source, _checked(member).replace(name=name, uid=uid, gid=gid, uname="", gname=""), target)
    except tarfile.TarError as error:
        raise SandboxRefused(f"The workspace is no tar that can be read: {error}.") from None
    return packed.getvalue()


def folders_in(archive: bytes) -> list[str]:
    """Every folder that unpacking goes through, the upper ones first."""
    found: dict[str, None] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as source:
        for member in source:
            parts = member.name.split("/") if member.isdir() else member.name.split("/")[:-1]
            found |= dict.fromkeys("/".join(parts[:length]) for length in range(1, len(parts) + 1))
    return list(found)


def gathered(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """One tar of several, each with the folder that its names begin in; devices, pipes and links that lead out are left out.

    Raises TargetFailed for what is no tar.
    """
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=packed, mode="w") as target:
            for folder, archive in parts:
                with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as source:
                    for member in source:
                        name = inside(f"{folder}/{member.name}")
                        if name != "." and _is_usual(member) and _stays_inside(name, member):
                            _copy(source, member.replace(name=name), target)
    except tarfile.TarError as error:
        raise TargetFailed(f"The target sent no tar that can be read: {error}.") from None
    return packed.getvalue()


def single(name: str, content: bytes) -> bytes:
    """A tar of one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as target:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        target.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def too_large(most: int, paths: Sequence[str]) -> TargetFailed:
    """For a download that is more than was asked for at most."""
    named = ", ".join(paths)[:200]
    return TargetFailed(
        f"The files {named!r} of the workspace are more than {most / 2**20:g} MB.", hint="Name fewer paths, or leave less there."
    )


def _copy(source: tarfile.TarFile, member: tarfile.TarInfo, target: tarfile.TarFile) -> None:
    target.addfile(member, source.extractfile(member) if member.isreg() else None)


def _is_usual(member: tarfile.TarInfo) -> bool:
    return member.isreg() or member.isdir() or member.issym() or member.islnk()


def _stays_inside(name: str, member: tarfile.TarInfo) -> bool:
    if not (member.issym() or member.islnk()):
        return True
    start = posixpath.dirname(name) if member.issym() else ""
    leads = posixpath.normpath(posixpath.join(start, member.linkname))
    return not leads.startswith("/") and leads.split("/")[0] != ".."


def _checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if not _is_usual(member):
        raise SandboxRefused(f"The workspace holds {member.name[:200]!r}, which is neither file, folder nor link.")
    if not _stays_inside(inside(member.name), member):
        raise SandboxRefused(f"The link {member.name[:200]!r} leads out of the workspace, to {member.linkname[:200]!r}.")
    member.mode = member.mode & 0o777 | (0o700 if member.isdir() else 0o600)
    return member
