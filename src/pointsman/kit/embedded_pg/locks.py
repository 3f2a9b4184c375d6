"""The two locks of a data directory: who may change the server now, and who uses it; the kernel drops both when a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from pointsman.kit.embedded_pg.errors import DatabaseContended
from pointsman.kit.embedded_pg.layout import explained

_PAUSE = 0.02  # seconds between two attempts


@contextmanager
def changing(data_dir: Path, deadline: float) -> Generator[None]:
    """Hold the right to start, stop or make the server until `deadline` on the monotonic clock at most to get it."""
    descriptor = open_owned(data_dir, "pg.lock")
    try:
        with explained(data_dir):
            _acquire(descriptor, data_dir, deadline)
        yield
    finally:
        os.close(descriptor)


class UserLock:
    """Being one of the users of the server: a shared lock, so that the last one to leave can know it is the last."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def join(self) -> None:
        """Become a user; only while changing()."""
        if self._descriptor is None:
            self._descriptor = open_owned(self._data_dir, "pg.users")
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def is_alone(self) -> bool:
        """Whether nobody else uses the server; only while changing(), so that nobody can join meanwhile."""
        descriptor = open_owned(self._data_dir, "pg.users")
        held = self._descriptor
        try:
            if held is not None:
                fcntl.flock(held, fcntl.LOCK_UN)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            return True
        finally:
            os.close(descriptor)
            if held is not None:
                fcntl.flock(held, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Be no user any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_owned(data_dir: Path, name: str, flags: int = os.O_RDWR) -> int:
    """Open or make a file (0600) of the data directory, never through a link; it belongs to the directory's owner, also root's."""
    with explained(data_dir):
        descriptor = os.open(data_dir / name, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0 and os.fstat(descriptor).st_size == 0:
        owner = data_dir.stat()
        with suppress(OSError):  # an owner without a number in this user namespace: then it stays root's
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _acquire(descriptor: int, data_dir: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DatabaseContended(
                    f"Another process holds {data_dir / 'pg.lock'}.", hint="Try again; `pointsman doctor` says more if it stays so."
                ) from None
            time.sleep(_PAUSE)
        else:
            return
