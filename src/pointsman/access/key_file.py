"""The file that holds the admin key: readable by its owner only, and replaced in one step or not at all."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pointsman.access.errors import KeyFileUnusable
from pointsman.access.keys import is_well_formed

_MODE = 0o600
_LONGEST = 1024


class KeyFile:
    """A key is first staged in a hidden sibling, then published under the file's name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path.with_name(f".{path.name}.pending")

    def find_key(self) -> str | None:
        """The key in the file, None without a file or in an empty one. Raises KeyFileUnusable for anything else."""
        with _explained(self.path):
            key = _read(self.path)
        if key and not is_well_formed(key):
            raise KeyFileUnusable(f"{self.path} exists and holds no key.", hint="Name another file, or move this one away.")
        return key or None

    def find_staged(self) -> str | None:
        """The key that an interrupted run left behind, if it got as far as writing all of it."""
        with _explained(self.staging):
            key = _read(self.staging)
        return key if key is not None and is_well_formed(key) else None

    def stage(self, key: str) -> None:
        """Write the key beside the file, durably."""
        with _explained(self.staging):
            self.staging.unlink(missing_ok=True)
            # O_EXCL: nobody can have put a link there that leads the key elsewhere.
            descriptor = os.open(self.staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{key}\n")
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()

    def publish(self, key: str) -> bool:
        """Put the staged key into the file's place; False where another process of this host has found it staged and done so already."""
        with _explained(self.path):
            try:
                self.staging.replace(self.path)
            except FileNotFoundError:
                if _read(self.path) != key:
                    raise
                return False
            self._sync_folder()
        return True

    def discard_staged(self) -> None:
        """Remove a staged key that never became one."""
        with _explained(self.staging):
            self.staging.unlink(missing_ok=True)

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(path: Path) -> str | None:
    if path.exists() and not path.is_file():
        raise KeyFileUnusable(f"{path} is no regular file.", hint="Name a file; the key is read from it later.")
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode("ascii", errors="replace").strip()
    except FileNotFoundError:
        return None


@contextmanager
def _explained(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise KeyFileUnusable(
            f"{path} cannot be used: {error.strerror or type(error).__name__}.", hint="Name a file in a folder that you may write to."
        ) from error
