"""Keeps what the server prints, within bounds, and finds in it why a start failed."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress

from pointsman.kit.embedded_pg.layout import Layout
from pointsman.kit.embedded_pg.locks import open_owned

_LIMIT = 8 * 2**20  # bytes of pg.log; one older file of about that size is kept beside it
_TELLING = re.compile(r"(?:FATAL|PANIC|ERROR):\s*(.*)|(.*(?:could not|error while loading).*)")


def open_log(layout: Layout) -> int:
    """A descriptor that appends to the log, for the server to inherit."""
    bound_log(layout)
    return open_owned(layout.data_dir, layout.log.name, os.O_WRONLY | os.O_APPEND)


def bound_log(layout: Layout) -> None:
    """Move a log that has grown too long aside, under the running server: it appends, so it goes on at the start."""
    if log_size(layout) <= _LIMIT:
        return
    with suppress(OSError):  # on a full disk the old lines are lost, which makes room
        older = layout.log.with_name("pg.log.1")
        older.unlink(missing_ok=True)
        shutil.copyfile(layout.log, older, follow_symlinks=False)
        older.chmod(0o600)
    os.truncate(layout.log, 0)


def log_size(layout: Layout) -> int:
    """The length of the log in bytes, 0 if there is none."""
    with suppress(FileNotFoundError):
        return layout.log.lstat().st_size
    return 0


def log_since(layout: Layout, offset: int) -> str:
    """What was printed after `offset`, at most the last 64 KiB."""
    with suppress(FileNotFoundError), layout.log.open("rb") as file:
        file.seek(max(offset, log_size(layout) - 65536))
        return file.read().decode(errors="replace")
    return ""


def telling_lines(text: str) -> str:
    """The lines that say what went wrong, without their prefixes."""
    found = [match[1] or match[2] for match in map(_TELLING.search, text.splitlines()) if match]
    return " ".join(found[-3:])[:600]
