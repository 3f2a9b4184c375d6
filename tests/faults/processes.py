"""What the kernel says of processes: memory, open files, arguments, environment and descendants; from /proc, so Linux only."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Held(NamedTuple):
    """What a process holds: memory in KB (`pss` counts what is shared by its share), TCP connections, and all other open files."""

    rss: int
    pss: int
    connections: int
    files: int


def held(pid: int) -> Held:
    """What it holds now. Raises OSError when it is gone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in lines)}
    files = _open_files(pid)
    connections = _connections(pid)
    connected = sum(1 for file in files if file in connections)
    return Held(sizes["Rss"], sizes["Pss"], connected, len(files) - connected)


def descendants(pid: int) -> list[int]:
    """Its children and theirs, as far as they still live."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def command_line(pid: int) -> bytes:
    """Its arguments, each ended by NUL; nothing when it is gone."""
    return _content(pid, "cmdline")


def environment(pid: int) -> bytes:
    """The variables that it was started with, each ended by NUL; nothing when it is gone."""
    return _content(pid, "environ")


def _content(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _open_files(pid: int) -> list[str]:
    found: list[str] = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found.append(str(file.readlink()))
    return found


def _connections(pid: int) -> set[str]:
    """Sockets of the machine's TCP connections, whatever their state, as links of open files show them; listening ones are none."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {f"socket:[{fields[9]}]" for fields in lines if fields[3] != "0A"}
