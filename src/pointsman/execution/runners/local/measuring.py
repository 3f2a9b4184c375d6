"""What a running command uses of disk and memory, seen from outside and without trusting anything it has made."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512
_DEEPEST = 256


@dataclass
class DiskUse:
    """What a workspace holds: `deep` says that folders are nested past what is looked at."""

    size: int = 0
    entries: int = 0
    deep: bool = False
    seen: set[int] = field(default_factory=set[int])

    def add(self, found: os.stat_result) -> None:
        """Count a file once, whatever the number of its names."""
        if found.st_nlink != 1 and not stat.S_ISDIR(found.st_mode):
            if found.st_ino in self.seen:
                return
            self.seen.add(found.st_ino)
        self.entries += 1
        self.size += found.st_blocks * _BLOCK


def measure_disk(workspace: Path, processes: list[int], most_entries: int) -> DiskUse:
    """The workspace, and files without a name that these processes hold open or mapped. It stops counting past `most_entries`."""
    use = DiskUse()
    top = os.open(workspace, _FOLDER)
    try:
        device = os.fstat(top).st_dev
        _count_folder(top, use, 0, most_entries)
    finally:
        os.close(top)
    for pid in processes:
        _count_open(pid, device, use)
        _count_mapped(pid, device, use)
    return use


def measure_memory(processes: list[int]) -> int:
    """Bytes that these processes hold; what several share counts once. Slow: for when the estimate is past a bound."""
    return sum(_smaps(pid) for pid in processes)


def estimate_memory(processes: list[int]) -> int:
    """Bytes that these processes hold, where what two of them share counts twice."""
    return sum(_status_kb(pid, ("RssAnon", "RssShmem", "VmSwap")) for pid in processes) * 1024


def list_descendants(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found: list[int] = []
    todo = [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        with suppress(OSError):
            for task in os.scandir(f"/proc/{current}/task"):
                with suppress(OSError):
                    todo += map(int, Path(task.path, "children").read_text(encoding="ascii").split())
    return found


def _count_folder(folder: int, use: DiskUse, depth: int, most_entries: int) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if use.entries > most_entries:
                return
            with suppress(OSError):  # gone meanwhile
                found = entry.stat(follow_symlinks=False)
                use.add(found)
                if stat.S_ISDIR(found.st_mode):
                    _count_inner(folder, entry.name, use, depth + 1, most_entries)


def _count_inner(parent: int, name: str, use: DiskUse, depth: int, most_entries: int) -> None:
    if depth > _DEEPEST:
        use.deep = True
        return
    inner = _open_locked(parent, name)
    try:
        _count_folder(inner, use, depth, most_entries)
    finally:
        os.close(inner)


def _open_locked(parent: int, name: str) -> int:
    """Open a folder also where the job has locked it, which stops a worker that is not root: it owns the folder and unlocks it."""
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            Path(f"/proc/self/fd/{handle}").chmod(0o700)  # this very folder, whatever has its name by now
            return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)


def _count_open(pid: int, device: int, use: DiskUse) -> None:
    with suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found = descriptor.stat()
                if stat.S_ISREG(found.st_mode) and found.st_dev == device and found.st_nlink == 0:
                    use.add(found)


def _count_mapped(pid: int, device: int, use: DiskUse) -> None:
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}"
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split(maxsplit=5)
            if len(words) == 6 and words[5].endswith(" (deleted)") and words[3] == wanted and int(words[4]) not in use.seen:
                use.seen.add(int(words[4]))
                first, last = words[0].split("-")
                use.size += int(last, 16) - int(first, 16)


def _smaps(pid: int) -> int:
    with suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:])
        return sum(int(words[1]) for words in lines if words[0] in ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")) * 1024
    return 0


def _status_kb(pid: int, names: tuple[str, ...]) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.partition(":")[0] in names)
    return 0
