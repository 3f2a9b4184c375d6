"""Brings a server up, or finds the one that already runs: what start() and the watch both do while they may change it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pointsman.kit.embedded_pg.cluster import is_disk_full, read_password, require_cluster
from pointsman.kit.embedded_pg.errors import DatabaseSocketMissing, DatabaseStartFailed, DatabaseStillStarting
from pointsman.kit.embedded_pg.launching import spawn
from pointsman.kit.embedded_pg.layout import SOCKET_NAME, Layout, disk_full, explained, find_layout, require_socket_directory
from pointsman.kit.embedded_pg.logfile import log_since, log_size, open_log, telling_lines
from pointsman.kit.embedded_pg.placement import Placement, place
from pointsman.kit.embedded_pg.probing import DATABASE, USER, Answer, probe
from pointsman.kit.embedded_pg.processes import end_children, end_server, find_postmaster, is_running
from pointsman.kit.embedded_pg.tools import require_database

_PAUSE = 0.01  # seconds between two questions to a starting server
_SOCKET_PATIENCE = 1.0  # seconds a server gets from its start to its socket

_OPTIONS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "jit": "off",  # compiling costs more than the short statements of a gateway take
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    # neither statements nor rows in the log: they hold what users wrote
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass(frozen=True)
class Server:
    """A running server: how to reach it, and how to know its processes even when its files are gone."""

    layout: Layout
    socket: Path
    dsn: str
    tag: str
    uid: int

    def find_postmaster(self) -> int | None:
        """The server's process id, None if it is dead or lives where we cannot see it (another container)."""
        return find_postmaster(self.tag, self.uid)

    def is_healthy(self) -> bool:
        """Whether somebody listens on the socket."""
        return probe(self.socket) is not Answer.NOBODY

    def end(self) -> bool:
        """Stop it cleanly; False if it could not be ended."""
        ended = end_server(self.tag, self.uid)
        if self.socket.parent != self.layout.home:
            with suppress(OSError):
                self.socket.parent.rmdir()
        return ended


def require_running(data_dir: Path, options: Mapping[str, str], alone: Callable[[], bool], deadline: float) -> Server:
    """Join the server of this data directory or start it; only while changing(). `deadline` is on the monotonic clock."""
    layout = find_layout(data_dir)
    with explained(data_dir):
        if not (layout.exists and _answers(layout, deadline)):
            layout = _start(data_dir, options, alone, deadline)
        server = describe(layout)
    require_database(server.dsn)
    return server


def describe(layout: Layout) -> Server:
    """The server of an existing cluster, whether it runs or not."""
    return Server(layout, layout.socket, dsn_of(layout), layout.tag, layout.cluster.stat().st_uid)


def dsn_of(layout: Layout) -> str:
    """The address of the database with its password, for libpq and asyncpg alike."""
    return f"postgresql://{USER}:{quote(read_password(layout), safe='')}@/{DATABASE}?host={quote(str(layout.socket_directory), safe='/')}"


def _answers(layout: Layout, deadline: float) -> bool:
    while (answer := probe(layout.socket)) is Answer.NOT_YET:
        _check(deadline, layout)
    return answer is Answer.READY


def _start(data_dir: Path, options: Mapping[str, str], alone: Callable[[], bool], deadline: float) -> Layout:
    placement = place(data_dir)
    layout = placement.layout
    require_cluster(placement, options, max(1.0, deadline - time.monotonic()))
    require_socket_directory(layout, placement.account.uid, placement.account.gid)
    read_password(layout)
    if _is_cleared(layout, placement.account.uid, alone):
        _launch(placement, options, deadline)
    return layout


def _is_cleared(layout: Layout, uid: int, alone: Callable[[], bool]) -> bool:
    """End what is left of an earlier server; False if it has come up meanwhile."""
    if (pid := find_postmaster(layout.tag, uid)) is not None and _gets_a_socket(layout, pid):
        return False
    if is_running(pid or 0) and not alone():
        raise DatabaseSocketMissing(
            f"The server runs as process {pid} for another gateway, but {layout.socket} is not there.",
            hint="Stop the other processes that use this data directory, then start again.",
        )
    end_server(layout.tag, uid)
    end_children(layout.tag, uid)
    # whatever number these files hold, it is not our server's: a live stranger behind it would keep PostgreSQL from starting
    for left in (layout.cluster / "postmaster.pid", layout.socket, layout.socket.with_name(f"{SOCKET_NAME}.lock")):
        left.unlink(missing_ok=True)
    return True


def _gets_a_socket(layout: Layout, pid: int) -> bool:
    patience = time.monotonic() + _SOCKET_PATIENCE
    while is_running(pid) and time.monotonic() < patience:
        if probe(layout.socket) is not Answer.NOBODY:
            return True
        time.sleep(_PAUSE)
    return False


def _launch(placement: Placement, options: Mapping[str, str], deadline: float) -> None:
    layout = placement.layout
    log = open_log(layout)
    before = log_size(layout)
    try:
        pid = spawn(_command(placement, options), placement.confinement, log)
    finally:
        os.close(log)
    while (answer := probe(layout.socket)) is not Answer.READY:
        if answer is Answer.NOBODY and not is_running(pid):
            raise _failure(layout, before)
        _check(deadline, layout)


def _command(placement: Placement, options: Mapping[str, str]) -> list[str]:
    settings = {
        **_OPTIONS,
        **options,
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(placement.socket_directory),
        "unix_socket_permissions": "0700",
        "cluster_name": placement.layout.tag,
    }
    arguments = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    return [str(placement.programs / "postgres"), "-D", str(placement.home / "data"), *arguments]


def _check(deadline: float, layout: Layout) -> None:
    if time.monotonic() > deadline:
        raise DatabaseStillStarting(
            "The server has not become ready in time; it is left running.", hint=f"Try again in a moment; {layout.log} says what it does."
        )
    time.sleep(_PAUSE)


def _failure(layout: Layout, offset: int) -> Exception:
    said = log_since(layout, offset)
    if is_disk_full(said, layout.home):
        return disk_full(layout.home)
    return DatabaseStartFailed(
        f"The server ended at once: {telling_lines(said) or 'it said nothing'}",
        hint=f"Correct what the message names; {layout.log} has the rest.",
    )
