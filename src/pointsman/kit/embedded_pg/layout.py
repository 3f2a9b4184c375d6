"""Which file of an embedded database lies where, below the data directory and beside it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EEXIST, ELOOP, ENOLCK, ENOSPC, ENOTDIR, EOPNOTSUPP, EPERM, EROFS
from pathlib import Path

from pointsman.kit.embedded_pg.errors import DatabaseDirectoryDamaged, DatabaseDirectoryNotWritable, DatabaseDiskFull, DatabaseSocketUnsafe

STATE_DIRECTORY = Path("/var/lib/pointsman")
"""Where a cluster or the programs are placed when root's data directory or installation cannot be reached by the server's account."""

SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path without its NUL
_PLAIN_PATH = re.compile(r"[\w./@+=~-]+", re.ASCII)  # neither client nor server would split or unquote it
_STAGING_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Layout:
    """The paths of one embedded database, as this process sees them."""

    data_dir: Path
    home: Path  # owned by the server's account, 0700: the cluster, and the socket where the path is short enough

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server prints."""
        return self.data_dir / "pg.log"

    @property
    def password(self) -> Path:
        """The password of the superuser `pm`, 0600."""
        return self.data_dir / "pg.password"

    @property
    def tag(self) -> str:
        """What the server's processes carry as cluster_name: by inode, so that it holds however the directory is called."""
        found = self.home.stat()
        return "pointsman-" + hashlib.sha256(f"{found.st_dev}:{found.st_ino}".encode()).hexdigest()[:16]

    @property
    def socket_directory(self) -> Path:
        """The directory of the Unix socket; it need not exist yet."""
        if _fits_a_socket(self.home):
            return self.home
        return _short_base() / f"pm-{self.tag.removeprefix('pointsman-')}"

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.socket_directory / SOCKET_NAME

    @property
    def exists(self) -> bool:
        """Whether there is a cluster (which appears in one piece)."""
        return self.cluster.is_dir()


def find_layout(data_dir: Path) -> Layout:
    """The layout of a data directory, following the note of a cluster that was staged elsewhere."""
    data_dir = data_dir.absolute().resolve()
    staged = staging_note(data_dir)
    if staged.is_file():
        return staged_layout(data_dir, _staging_id(staged))
    return Layout(data_dir, data_dir / "pg")


def staging_note(data_dir: Path) -> Path:
    """The file that holds the id under which the cluster was staged."""
    return data_dir / "pg.staged"


def staged_layout(data_dir: Path, identifier: str) -> Layout:
    """The layout of a cluster below the system's state directory."""
    return Layout(data_dir, STATE_DIRECTORY / "clusters" / identifier / "pg")


def require_socket_directory(layout: Layout, uid: int, gid: int) -> None:
    """Make the short directory for the socket if the layout needs one, and refuse one that somebody else made."""
    directory = layout.socket_directory
    if directory == layout.home:
        return
    with explained(directory):
        try:
            directory.mkdir(mode=0o700)
            os.chown(directory, uid, gid)
        except FileExistsError:
            found = directory.lstat()
            if found.st_uid != uid or found.st_mode & 0o170077 != 0o040000:
                raise DatabaseSocketUnsafe(
                    f"{directory} should be a directory of user {uid} with mode 0700, and is not.",
                    hint=f"Remove {directory} or use a data directory with a shorter path.",
                ) from None


@contextmanager
def explained(path: Path) -> Generator[None]:
    """Turn what the file system refuses into the problem that says what to do."""
    try:
        yield
    except OSError as error:
        raise _problem_of(error, path) from error


def _problem_of(error: OSError, path: Path) -> Exception:
    where = error.filename if isinstance(error.filename, str) else str(path)
    if error.errno in (ENOSPC, EDQUOT):
        return disk_full(path)
    if error.errno in (EACCES, EPERM):
        hint = f"Give it to user {os.geteuid()} (chown), or choose another data directory."
    elif error.errno == EROFS:
        hint = "Mount it writable, or choose another data directory."
    elif error.errno in (ENOTDIR, EEXIST, ELOOP):
        hint = "Name a directory, or a path where one can be made."
    elif error.errno in (ENOLCK, EOPNOTSUPP):
        hint = "This file system cannot lock files: choose a data directory on a local disk."
    else:
        return error
    return DatabaseDirectoryNotWritable(f"{where}: {error.strerror} (running as user {os.geteuid()}).", hint=hint)


def disk_full(path: Path) -> DatabaseDiskFull:
    """The problem of a full disk below `path`."""
    return DatabaseDiskFull(
        f"No space is left on the file system of {path}.",
        hint="Free some space there (a new cluster needs about 60 MB), then start again.",
    )


def _staging_id(note: Path) -> str:
    identifier = note.read_text(encoding="utf-8", errors="replace").strip()
    if _STAGING_ID.fullmatch(identifier) is None:  # it becomes part of a path that root writes to
        raise DatabaseDirectoryDamaged(f"{note} holds no id of a staged cluster.", hint=f"Remove {note} if there never was one.")
    return identifier


def _fits_a_socket(directory: Path) -> bool:
    path = str(directory / SOCKET_NAME)
    return len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and _PLAIN_PATH.fullmatch(path) is not None


def _short_base() -> Path:
    # root's /run is the same for every process; a user's /run/user/N goes away with the last log-in, under a running server
    run = Path("/run")
    return run if os.geteuid() == 0 and os.access(run, os.W_OK) else Path("/tmp")  # noqa: S108 - the owner is checked
