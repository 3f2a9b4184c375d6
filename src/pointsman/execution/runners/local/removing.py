"""Removes what a job left, however deep, wide and locked it is."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOVED = ".pointsman-removed-"  # a former removal may have been interrupted


def remove_tree(path: Path) -> None:
    """Remove a folder in which no process is at work any more; no link is followed. Harmless where there is none.

    Folders are moved up to the top before they are emptied: a hundred thousand of them, each in the one before, exhaust neither the stack
    nor descriptors.
    """
    with suppress(FileNotFoundError):
        top = os.open(path, _FOLDER)
        try:
            fresh = count(max((int(name.removeprefix(_MOVED)) + 1 for name in os.listdir(top) if _is_moved(name)), default=0))
            while names := os.listdir(top):
                for name in names:
                    _remove(top, name, fresh)
        finally:
            os.close(top)
        path.rmdir()


def _remove(top: int, name: str, fresh: count[int]) -> None:
    try:
        os.unlink(name, dir_fd=top)
    except IsADirectoryError:
        inner = _entered(top, name)
        try:
            for entry in os.listdir(inner):
                _lift(inner, entry, top, fresh)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=top)


def _lift(inner: int, entry: str, top: int, fresh: count[int]) -> None:
    try:
        os.unlink(entry, dir_fd=inner)
    except IsADirectoryError:
        os.chmod(entry, 0o700, dir_fd=inner)  # a folder is moved by who may write in it
        os.rename(entry, f"{_MOVED}{next(fresh)}", src_dir_fd=inner, dst_dir_fd=top)


def _is_moved(name: str) -> bool:
    return name.startswith(_MOVED) and name.removeprefix(_MOVED).isdecimal()


def _entered(top: int, name: str) -> int:
    os.chmod(name, 0o700, dir_fd=top)
    return os.open(name, _FOLDER, dir_fd=top)
