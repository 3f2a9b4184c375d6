"""One process's use of the embedded server: start or join it, keep it alive, leave it, and stop it as the last one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from pointsman.kit.embedded_pg.cluster import read_password
from pointsman.kit.embedded_pg.layout import explained, find_layout
from pointsman.kit.embedded_pg.locks import UserLock, changing
from pointsman.kit.embedded_pg.placement import require_data_dir
from pointsman.kit.embedded_pg.running import Server, dsn_of, require_running
from pointsman.kit.embedded_pg.watching import Watch

_NOTHING: Mapping[str, str] = MappingProxyType({})
_START_TIMEOUT = timedelta(seconds=30)
_STOP_TIMEOUT = timedelta(seconds=60)
_REVIVAL_TIMEOUT = timedelta(seconds=60)


class EmbeddedPostgres:
    """The PostgreSQL of one data directory, shared by all processes that use it.

    `extra_options` are server settings by name (`{"shared_buffers": "1GB"}`) that take effect when this process starts the server.
    """

    def __init__(self, data_dir: Path, *, log: Callable[[str], None] | None = None, extra_options: Mapping[str, str] = _NOTHING) -> None:
        self._data_dir = data_dir
        self._log = log or _say_nothing
        self._options = dict(extra_options)
        self._server: Server | None = None
        self._user: UserLock | None = None
        self._watch: Watch | None = None

    @property
    def dsn(self) -> str:
        """The address of the database, with its password; only after start()."""
        return self._started().dsn

    def start(self, timeout: timedelta = _START_TIMEOUT) -> str:
        """Join the running server, or make the cluster and start it; blocks. Returns the DSN, or raises a Problem with the remedy."""
        data_dir = require_data_dir(self._data_dir)
        user = self._user or UserLock(data_dir)
        deadline = time.monotonic() + timeout.total_seconds()
        with changing(data_dir, deadline):
            user.join()
            try:
                self._server = require_running(data_dir, self._options, user.is_alone, deadline)
                self._user = user
            finally:
                if self._user is None:
                    user.leave()
        return self._server.dsn

    def watch(self) -> None:
        """Bring the server up again whenever it dies, from a thread that ends with stop()."""
        self._started()
        if self._watch is None:
            self._watch = Watch(self._started, self._revive, self._log)

    def stop(self) -> None:
        """Use the server no longer; the last user stops it. Harmless when it was not started."""
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._user is None:
            return
        server, user = self._started(), self._user
        try:
            self._leave(server, user)
        finally:
            user.leave()
            self._server = self._user = None

    def _leave(self, server: Server, user: UserLock) -> None:
        data_dir = server.layout.data_dir
        if not data_dir.is_dir():  # removed under the server: nobody can use that any more
            server.end()
            return
        with changing(data_dir, time.monotonic() + _STOP_TIMEOUT.total_seconds()):
            if not user.is_alone():
                return
            user.leave()
            if not server.end():
                self._log("the embedded PostgreSQL could not be stopped")

    def _revive(self) -> None:
        server, user = self._started(), self._user
        if user is None:
            return
        deadline = time.monotonic() + _REVIVAL_TIMEOUT.total_seconds()
        data_dir = server.layout.data_dir
        with changing(data_dir, deadline):
            self._server = require_running(data_dir, self._options, user.is_alone, deadline)

    def _started(self) -> Server:
        if self._server is None:
            message = "the embedded PostgreSQL was not started by this process"
            raise RuntimeError(message)
        return self._server


def find_dsn(data_dir: Path) -> str | None:
    """The DSN of an existing cluster, whether it runs or not; None if there is no cluster."""
    with explained(data_dir):
        layout = find_layout(data_dir)
        if not layout.exists:
            return None
        read_password(layout)
        return dsn_of(layout)


def _say_nothing(_text: str) -> None:
    pass
