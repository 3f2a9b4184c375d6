"""Looks at an embedded database and says what is well and what is not, changing nothing."""

from __future__ import annotations

import enum
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pointsman.kit.embedded_pg.cluster import check_version, list_scratch, read_password
from pointsman.kit.embedded_pg.layout import Layout, explained, find_layout
from pointsman.kit.embedded_pg.logfile import log_since, log_size, telling_lines
from pointsman.kit.embedded_pg.placement import list_orphans
from pointsman.kit.embedded_pg.probing import Answer, probe
from pointsman.kit.embedded_pg.processes import find_postmaster, list_children
from pointsman.kit.embedded_pg.wheel import MAJOR_VERSION, binary
from pointsman.kit.problems import Problem

_ROOM_NEEDED, _ROOM_WANTED = 80, 500  # MB


class Level(enum.Enum):
    """How well something is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """One thing that was looked at: a sentence, and what to do unless it is well."""

    level: Level
    sentence: str
    remedy: str = ""


def diagnose(data_dir: Path) -> list[Finding]:
    """Everything worth knowing about the embedded database of a data directory."""
    findings = _guarded(_programs)
    findings += _guarded(lambda: _directory(data_dir))
    findings += _guarded(lambda: _cluster(data_dir))
    findings += [
        Finding(Level.WARN, f"{orphan} holds a cluster whose data directory is gone.", f"If nobody misses it: rm -r {orphan}")
        for orphan in list_orphans()
    ]
    return findings


def _guarded(look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except Problem as problem:
        return [Finding(Level.FAIL, f"{problem.title}: {problem.detail}", problem.hint)]
    except OSError as error:
        return [Finding(Level.FAIL, f"{error.filename}: {error.strerror}", "Look at the file and its owner.")]


def _programs() -> list[Finding]:
    for name in ("postgres", "initdb", "psql", "pg_dump", "pg_restore"):
        binary(name)
    return [Finding(Level.OK, f"PostgreSQL {MAJOR_VERSION} is installed in {binary('postgres').parent}.")]


def _directory(data_dir: Path) -> list[Finding]:
    existing = next(step for step in (data_dir.absolute(), *data_dir.absolute().parents) if step.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK) or os.statvfs(existing).f_flag & os.ST_RDONLY:
        return [Finding(Level.FAIL, f"{existing} cannot be written.", f"Make it writable for user {os.geteuid()}, or choose another one.")]
    findings = [Finding(Level.OK, f"{data_dir} can be written.")] if existing == data_dir.absolute() else []
    free = shutil.disk_usage(existing).free // 2**20
    if free < _ROOM_WANTED:
        level = Level.FAIL if free < _ROOM_NEEDED else Level.WARN
        findings.append(Finding(level, f"{free} MB are free on the file system of {data_dir}.", "Free some space there."))
    return findings


def _cluster(data_dir: Path) -> list[Finding]:
    layout = find_layout(data_dir)
    with explained(data_dir):
        if not layout.exists:
            return [Finding(Level.OK, f"There is no cluster in {data_dir} yet; the first start makes it."), *_scratch(layout)]
    check_version(layout)
    findings = [Finding(Level.OK, f"The cluster is in {layout.cluster} and belongs to user {layout.cluster.stat().st_uid}.")]
    return [*findings, *_staging(layout), *_scratch(layout), *_password(layout), *_server(layout)]


def _staging(layout: Layout) -> list[Finding]:
    if layout.home.parent == layout.data_dir:
        return []
    sentence = f"The cluster is not below {layout.data_dir}, which the server's account cannot reach, but in {layout.home.parent}."
    return [
        Finding(Level.WARN, sentence, "Keep both on durable storage; to move it, make a backup and restore it where mounts are allowed.")
    ]


def _scratch(layout: Layout) -> list[Finding]:
    return [
        Finding(Level.WARN, f"{left} is left of an interrupted attempt to make a cluster.", f"If no start is under way: rm -r {left}")
        for left in list_scratch(layout.home)
    ]


def _password(layout: Layout) -> list[Finding]:
    read_password(layout)
    mode = layout.password.stat().st_mode & 0o777
    if mode & 0o077:
        return [Finding(Level.WARN, f"{layout.password} has mode {mode:04o}: others can read it.", f"chmod 600 {layout.password}")]
    return [Finding(Level.OK, "The database's password is kept in a file that only its owner can read.")]


def _server(layout: Layout) -> list[Finding]:
    uid = layout.cluster.stat().st_uid
    pid = find_postmaster(layout.tag, uid)
    answer = probe(layout.socket)
    if answer is Answer.READY:
        return [Finding(Level.OK, f"The server runs (process {pid or 'out of sight'}) on {layout.socket}.")]
    if answer is Answer.NOT_YET:
        return [Finding(Level.WARN, "The server is starting, recovering or stopping.", f"Wait a moment; {layout.log} says what it does.")]
    if pid is not None:
        return [Finding(Level.FAIL, f"The server runs as process {pid}, but {layout.socket} is gone.", "Restart what uses it.")]
    return [Finding(Level.OK, "The server is stopped."), *_remains(layout, uid)]


def _remains(layout: Layout, uid: int) -> list[Finding]:
    findings: list[Finding] = []
    if list_children(layout.tag, uid):
        findings.append(Finding(Level.WARN, "Processes of a killed server are left.", "The next start ends them."))
    if (layout.cluster / "postmaster.pid").exists():
        sentence = f"It did not stop cleanly. {telling_lines(log_since(layout, log_size(layout) - 4096))}".strip()
        findings.append(Finding(Level.WARN, sentence, "The next start recovers; nothing acknowledged is lost."))
    return findings
