"""Tars into and out of a workspace that a hostile program may have prepared: no link is ever followed, on the way in or out."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import stat
import tarfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from pointsman.execution.errors import SandboxRefused, TargetFailed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_DEEPEST = 256
_CHANGED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO}
"""What the kernel answers where something was removed or replaced since it was listed, by a link for instance, or was never there."""


def unpack(archive: bytes, workspace: str, uid: int, gid: int) -> None:
    """Unpack a tar; its files belong to the account and replace what has their name.

    Raises SandboxRefused for a member that lies, or points, outside the workspace, and for devices and pipes.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar, _opened(workspace, _FOLDER) as top:
            for member in tar:
                _unpack_one(tar, member, top, uid, gid)
    except tarfile.TarError as error:
        raise SandboxRefused(f"The workspace's archive is no tar: {error}.") from error
    except OSError as error:
        raise TargetFailed(f"The workspace could not be written: {error.strerror}.") from error


def pack(workspace: str, paths: Sequence[str], most: int) -> bytes:
    """A tar of these paths, at most `most` bytes (else TargetFailed). Links that lead out, devices, pipes and sockets are left out."""
    buffer = io.BytesIO()
    inner = [inner_parts(path) for path in paths]
    try:
        with _opened(workspace, _FOLDER) as top, tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path, parts in zip(paths, inner, strict=True):
                if parts is None:
                    raise SandboxRefused(f"{path!r} is outside the workspace.")
                with _passing_over():
                    _pack_path(tar, buffer, top, parts, most)
    except OSError as error:
        raise TargetFailed(f"The workspace could not be read: {error.filename!r}: {error.strerror}.") from error
    return buffer.getvalue()


def inner_parts(path: str) -> list[str] | None:
    """The steps from the workspace to a path in it; None where it lies outside."""
    if path.startswith("/") or "\0" in path:
        return None
    steps = posixpath.normpath(path).split("/")
    if steps[0] == "..":
        return None
    return [] if steps == ["."] else steps


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, top: int, uid: int, gid: int) -> None:
    parts = inner_parts(member.name)
    if parts is None or ".." in member.name.split("/"):
        raise SandboxRefused(f"The archive's {member.name!r} is outside the workspace.")
    if not parts:
        return
    with _walked(top, parts[:-1], uid, gid) as parent:
        if member.isdir():
            with _made_folder(parent, parts[-1], uid, gid) as folder:
                os.fchmod(folder, member.mode & 0o777 | 0o700)
            return
        with suppress(FileNotFoundError):
            os.unlink(parts[-1], dir_fd=parent)
        if member.issym():
            _require_inside(member, posixpath.join(posixpath.dirname(member.name), member.linkname))
            os.symlink(member.linkname, parts[-1], dir_fd=parent)
            os.chown(parts[-1], uid, gid, dir_fd=parent, follow_symlinks=False)
        elif member.isfile() or member.islnk():
            _write(tar, member, parent, parts[-1], uid, gid)
        else:
            raise SandboxRefused(f"The archive's {member.name!r} is neither a file, a folder nor a link.")


def _require_inside(member: tarfile.TarInfo, target: str) -> None:
    if inner_parts(target) is None:
        raise SandboxRefused(f"The archive's link {member.name!r} leads out of the workspace, to {member.linkname!r}.")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str, uid: int, gid: int) -> None:
    """Write a file; a hard link becomes a copy, read from the archive and never from the workspace."""
    if member.islnk():
        _require_inside(member, member.linkname)
    source = tar.extractfile(member)
    if source is None:
        raise SandboxRefused(f"The archive's link {member.name!r} leads to {member.linkname!r}, which is not in it.")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
        os.fchown(file.fileno(), uid, gid)
        os.fchmod(file.fileno(), member.mode & 0o777)


def _pack_path(tar: tarfile.TarFile, buffer: io.BytesIO, top: int, parts: list[str], most: int) -> None:
    if not parts:
        _pack_folder(tar, buffer, top, "", most)
        return
    with _walked(top, parts[:-1]) as parent:
        _pack_entry(tar, buffer, parent, parts[-1], "/".join(parts), most)


def _pack_folder(tar: tarfile.TarFile, buffer: io.BytesIO, folder: int, prefix: str, most: int) -> None:
    if prefix.count("/") > _DEEPEST:
        raise TargetFailed(f"The workspace's folders are nested more than {_DEEPEST} deep.")
    for name in sorted(os.listdir(folder)):
        with _passing_over():
            _pack_entry(tar, buffer, folder, name, f"{prefix}/{name}" if prefix else name, most)


def _pack_entry(tar: tarfile.TarFile, buffer: io.BytesIO, parent: int, name: str, path: str, most: int) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    entry = tarfile.TarInfo(path)
    entry.mode, entry.mtime = stat.S_IMODE(found.st_mode) & 0o777, int(found.st_mtime)
    if stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
        if inner_parts(posixpath.join(posixpath.dirname(path), entry.linkname)) is not None:
            _add(tar, buffer, entry, None, most)
    elif stat.S_ISDIR(found.st_mode):
        entry.type = tarfile.DIRTYPE
        _add(tar, buffer, entry, None, most)
        with _opened(name, _FOLDER, parent) as folder:
            _pack_folder(tar, buffer, folder, path, most)
    elif stat.S_ISREG(found.st_mode):
        # neither a link nor a pipe that took its place meanwhile is opened or waited for
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent), "rb") as file:
            opened = os.fstat(file.fileno())
            if stat.S_ISREG(opened.st_mode):
                entry.size = opened.st_size
                _add(tar, buffer, entry, file, most)


def _add(tar: tarfile.TarFile, buffer: io.BytesIO, entry: tarfile.TarInfo, file: io.BufferedReader | None, most: int) -> None:
    if buffer.tell() + entry.size + 3 * tarfile.BLOCKSIZE > most:
        raise TargetFailed(f"The files to fetch are larger than {most >> 20} MB; {entry.name!r} was the one too many.")
    try:
        tar.addfile(entry, file)
    except OSError as error:
        raise TargetFailed(f"{entry.name!r} changed while it was being read.") from error


@contextmanager
def _passing_over() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CHANGED:
            raise


@contextmanager
def _walked(top: int, parts: list[str], uid: int | None = None, gid: int | None = None) -> Generator[int]:
    """Step down folder by folder; with an account, missing ones are made."""
    folder = os.dup(top)
    try:
        for part in parts:
            inner = os.open(part, _FOLDER, dir_fd=folder) if uid is None or gid is None else _make_folder(folder, part, uid, gid)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _made_folder(parent: int, name: str, uid: int, gid: int) -> Generator[int]:
    folder = _make_folder(parent, name, uid, gid)
    try:
        yield folder
    finally:
        os.close(folder)


def _make_folder(parent: int, name: str, uid: int, gid: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, 0o755, dir_fd=parent)  # noqa: S103 - in a workspace of its own
    return os.open(name, _FOLDER, dir_fd=parent)


@contextmanager
def _opened(path: str, flags: int, parent: int | None = None) -> Generator[int]:
    descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
