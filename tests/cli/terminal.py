"""A terminal for a process: what it prints is read, what a person would type is written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Generator

from tests.cli.cli_scene import CommandLine


class Terminal:
    """`pointsman` with a person in front of it."""

    def __init__(self, command_line: CommandLine, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "pointsman", *arguments]
        environment = {**command_line.environment, "TERM": "xterm"}
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C becomes a signal
        )
        os.close(theirs)
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + 30
        while self.said.count(text) < times and time.monotonic() < deadline and self.process.poll() is None:
            time.sleep(0.02)
        assert self.said.count(text) >= times, self.said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
        self._reader.join(5)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while chunk := os.read(self._ours, 65536):
                self.said += chunk.decode(errors="replace")


@contextlib.contextmanager
def terminal(command_line: CommandLine, *arguments: str) -> Generator[Terminal]:
    opened = Terminal(command_line, *arguments)
    try:
        yield opened
    finally:
        opened.close()
