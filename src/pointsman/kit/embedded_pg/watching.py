"""A thread that notices the death of the server at once and has it brought up again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from pointsman.kit.embedded_pg.logfile import bound_log
from pointsman.kit.embedded_pg.processes import wait_readable, wait_until_gone
from pointsman.kit.embedded_pg.running import Server
from pointsman.kit.problems import Problem

_ROUND = 2.0  # seconds between two looks at a server that lives: its socket, the size of its log
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.5  # seconds after an attempt that failed


class Watch:
    """Watches one server from its own thread until end()."""

    def __init__(self, server: Callable[[], Server], revive: Callable[[], None], log: Callable[[str], None]) -> None:
        self._server = server
        self._revive = revive
        self._log = log
        self._told = ""
        self._ears, self._mouth = os.pipe()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="embedded-pg-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the thread, waiting for a revival that is under way."""
        self._ending = True
        os.write(self._mouth, b"x")
        self._thread.join()
        os.close(self._ears)
        os.close(self._mouth)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._ending:
            if self._is_well():
                pause = _FIRST_PAUSE
                continue
            if self._ending or self._is_revived():
                continue
            wait_readable([self._ears], pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_well(self) -> bool:
        """Wait a round, or less if the server dies; False if it is not there."""
        server = self._server()
        pid = server.find_postmaster()
        if pid is not None:
            if wait_until_gone(pid, _ROUND, self._ears):
                return False
            with suppress(OSError):
                bound_log(server.layout)
            return server.socket.exists()
        if not server.is_healthy():
            return False
        wait_readable([self._ears], _ROUND)  # it lives in another container: only its socket tells
        return True

    def _is_revived(self) -> bool:
        self._tell("the embedded PostgreSQL died; starting it again")
        try:
            self._revive()
        except (Problem, OSError) as error:
            self._tell(f"the embedded PostgreSQL cannot be started again yet: {error}")
            return False
        self._told = ""
        self._log("the embedded PostgreSQL is back")
        return True

    def _tell(self, text: str) -> None:
        # a full disk lasts for hours: say each thing once
        if text not in self._told:
            self._told += text
            self._log(text)
