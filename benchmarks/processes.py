"""Processes that are measured: start, wait until they answer, read what they cost from the kernel, stop."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What a shell may hold and a measured gateway must not see.
_FOREIGN = ("POINTSMAN_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "LITELLM_")


@contextmanager
def started(argv: list[str], environment: Mapping[str, str], log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; what it says goes to `log`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    with log.open("ab") as output:
        process = subprocess.Popen(argv, cwd=ROOT, env={**clean, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_answers(url: str, process: subprocess.Popen[bytes], log: Path, *, seconds: float = 90) -> float:
    """Seconds until the address answers anything but a 5xx. Raises RuntimeError with the end of the log if it does not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return time.monotonic() - began
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"{url} did not answer: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads so far, user and system, to the nanosecond; 0 for one that is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3) of Linux
    except OSError:
        return 0.0


def children(pid: int) -> list[int]:
    """The processes that this one started and that still live."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and _parent(path) == pid]


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def resident_kb(pid: int) -> int:
    """Resident memory of a process in KB."""
    return _rollup(pid)["Rss"]


def proportional_kb(pid: int) -> int:
    """Resident memory of a process in KB, pages shared with other processes counted in parts."""
    return _rollup(pid)["Pss"]


def forget_peak(pid: int) -> None:
    """Let `peak_kb` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kb(pid: int) -> int:
    """The most that a process had resident since `forget_peak`, in KB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _rollup(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name.rstrip(":"): int(value) for name, value, *_ in (line.split() for line in lines)}
