"""The command line as processes: commands that end, and gateways that run until they are told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pointsman.client import PointsmanClient
from pointsman.kit.embedded_pg.layout import find_layout
from pointsman.kit.embedded_pg.processes import find_postmaster

READY_SECONDS = 60.0
LISTENING = "listening on "


class CommandLine:
    """Runs `pointsman` in an environment of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "PYTHONPATH", "LANG", "TZ", "VIRTUAL_ENV"}}
        self.environment = {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "share"), **environment}

    def with_environment(self, **environment: str) -> CommandLine:
        other = CommandLine(Path(self.environment["HOME"]))
        other.environment = {**self.environment, **environment}
        return other

    def run(self, *arguments: str, text: str | None = None, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pointsman", *arguments],
            env=self.environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert expect is None or done.returncode == expect, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: str) -> Running:
        return Running(self, arguments)


class Running:
    """A process that serves."""

    def __init__(self, command_line: CommandLine, arguments: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pointsman", *arguments],
            env=command_line.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def url(self) -> str:
        """Where it listens, once it does."""
        assert self._listening.wait(READY_SECONDS), self.said
        found = [line for line in self.lines if LISTENING in line]
        assert found, self.said
        return found[0].partition(LISTENING)[2].strip()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if LISTENING in line:
                self._listening.set()
        self._listening.set()


class Scene(NamedTuple):
    """A gateway that runs, and a command line that finds it."""

    url: str
    data_dir: Path
    cli: CommandLine

    def client(self) -> PointsmanClient:
        return PointsmanClient(self.url, (self.data_dir / "admin-key").read_text().strip())


@contextmanager
def running(command_line: CommandLine, *arguments: str) -> Generator[Running]:
    """A serving process, ended with the block."""
    process = command_line.start(*arguments)
    try:
        yield process
    finally:
        process.stop()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def postmasters(data_dir: Path) -> list[int]:
    """The server of a data directory, if it runs."""
    layout = find_layout(data_dir)
    if not layout.exists:
        return []
    pid = find_postmaster(layout.tag, layout.cluster.stat().st_uid)
    return [] if pid is None else [pid]


def eventually(check: object, seconds: float = 10.0) -> bool:
    assert callable(check)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.05)
    return False
