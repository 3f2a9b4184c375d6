"""Finds, waits for and ends the processes of one cluster, known by the tag they carry and never by a number in a file."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PATIENCE = (  # seconds a server gets for a fast shutdown (it writes everything out), an immediate one, and none
    (signal.SIGINT, 60.0),
    (signal.SIGQUIT, 5.0),
    (signal.SIGKILL, 5.0),
)
_PAUSE = 0.02  # seconds between two looks where the kernel cannot wake us


class _Process(NamedTuple):
    pid: int
    argv: list[bytes]


def find_postmaster(tag: str, uid: int) -> int | None:
    """The process id of the running server, if it can be seen: for a moment a fresh child looks like it, but is younger."""
    wanted = f"cluster_name={tag}".encode()
    found = [process.pid for process in _processes(uid) if wanted in process.argv]
    return min(found, key=_age_key, default=None)


def list_children(tag: str, uid: int) -> list[int]:
    """The server's other processes, which may outlive it for a while when it was killed."""
    title = f"postgres: {tag}: ".encode()
    return [process.pid for process in _processes(uid) if process.argv[0].startswith(title)]


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie that nobody has fetched."""
    return bool(_argv(pid))


def end_server(tag: str, uid: int) -> bool:
    """Stop the server cleanly, then less and less politely; False if it could not be ended."""
    for number, patience in _PATIENCE:
        pid = find_postmaster(tag, uid)
        if pid is None:
            break
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_until_gone(pid, patience)
    end_children(tag, uid)
    return find_postmaster(tag, uid) is None


def end_children(tag: str, uid: int) -> None:
    """End what a killed server left: a new one must not start while they hold the old shared memory."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        left = list_children(tag, uid)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 1.0
        for pid in left:
            wait_until_gone(pid, max(0.0, deadline - time.monotonic()))


def wait_until_gone(pid: int, timeout: float, wake: int | None = None) -> bool:
    """Wait for a process to end, at most `timeout` seconds, or until the descriptor `wake` can be read."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:  # an old kernel or a filter without pidfd
        return _poll_until_gone(pid, timeout, wake)
    try:
        return handle in wait_readable([handle] if wake is None else [handle, wake], timeout)
    finally:
        os.close(handle)


def wait_readable(descriptors: list[int], timeout: float) -> list[int]:
    """Wait until one of the descriptors can be read, at most `timeout` seconds; which ones can."""
    poll = select.poll()  # a gateway has more descriptors than select() can count
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(timeout * 1000)]


def _poll_until_gone(pid: int, timeout: float, wake: int | None) -> bool:
    deadline = time.monotonic() + timeout
    while is_running(pid) and time.monotonic() < deadline:
        if wait_readable([] if wake is None else [wake], _PAUSE):
            return False
    return not is_running(pid)


def _processes(uid: int) -> Iterator[_Process]:
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        argv = _argv(int(entry.name))
        # anybody may call himself so: only the server's own account is believed
        if argv and argv[0].rpartition(b"/")[2].startswith(b"postgres") and _uid(int(entry.name)) == uid:
            yield _Process(int(entry.name), argv)


def _argv(pid: int) -> list[bytes]:
    with suppress(OSError):
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        return raw.split(b"\0") if raw else []
    return []


def _uid(pid: int) -> int | None:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    return None


def _age_key(pid: int) -> int:
    with suppress(OSError):
        # the name in parentheses may hold anything, so count from its end: start time is the 22nd field
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return 2**63
