"""A gateway for a while: a process of `pointsman up` in a temporary directory, stopped and removed with it whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from types import FrameType

from pointsman.cli.connection import ADMIN_KEY_FILE
from pointsman.client import PointsmanClient
from pointsman.kit.problems import Kind, Problem

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LISTENING = "listening on "
_KEPT = "POINTSMAN_PROVIDERS__"


class DemoNotStarted(Problem):
    """The gateway of the demonstration ended, or did not get ready in time; what it said last is in the detail.

    `pointsman doctor` looks at the usual causes: a full disk, a temporary directory without room, an installation that is not whole.
    """

    kind = Kind.UNAVAILABLE
    code = "demo-not-started"
    title = "The demonstration could not start"


@contextmanager
def throwaway_gateway() -> Generator[PointsmanClient]:
    """A client with the admin key of a fresh gateway. Raises DemoNotStarted."""
    with _unwinding(), tempfile.TemporaryDirectory(prefix="pointsman-demo-", ignore_cleanup_errors=True) as folder:
        data_dir = Path(folder) / "data"
        process = _start(data_dir)
        try:
            url = _wait_for_address(process)
            with PointsmanClient(url, (data_dir / ADMIN_KEY_FILE).read_text(encoding="ascii").strip()) as client:
                yield client
        finally:
            _stop(process)


@contextmanager
def _unwinding() -> Generator[None]:
    """SIGTERM ends us as Ctrl-C does, through everything that has to be taken down."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(data_dir: Path) -> subprocess.Popen[str]:
    # Its own settings: this machine's gateway and database are not the demonstration's to touch. Providers are wanted.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POINTSMAN_") or name.startswith(_KEPT)}
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "pointsman", "up", "--data-dir", str(data_dir), "--port", "0"],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A Ctrl-C in the terminal is for us; we stop it.
        start_new_session=True,
    )


def _wait_for_address(process: subprocess.Popen[str]) -> str:
    lines: Queue[str | None] = Queue()
    threading.Thread(target=_listen, args=(process, lines), name="demo-log", daemon=True).start()
    said: list[str] = []
    try:
        while (line := lines.get(timeout=_START_SECONDS)) is not None:
            said.append(line.strip())
            if _LISTENING in line:
                return line.partition(_LISTENING)[2].strip()
    except Empty:
        said.append(f"not ready within {_START_SECONDS:.0f} s")
    raise DemoNotStarted(f"The gateway said: {' | '.join(said[-3:])}", hint="`pointsman doctor` looks at the usual causes.")


def _listen(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    """Read to the end, so that the process never waits for a reader."""
    assert process.stderr is not None
    for line in process.stderr:
        lines.put(line)
    lines.put(None)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
