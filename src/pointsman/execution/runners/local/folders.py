"""The folder of each sandbox on this host: its workspace, and beside it what the job never sees."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.runners.local.account import Account
from pointsman.execution.runners.local.cgroups import Group
from pointsman.execution.runners.local.removing import remove_tree

_HANDLE = re.compile(r"pm-[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class Folder:
    """One sandbox's folder, which only the worker's user may enter."""

    path: Path

    @property
    def workspace(self) -> Path:
        """What the job sees as its workspace."""
        return self.path / "workspace"

    @property
    def stage(self) -> Path:
        """An empty folder on which each command's view is put together."""
        return self.path / "stage"

    def create(self, account: Account, cgroups: Group | None) -> None:
        """Make it, with a note of the cgroups that belong to it: before they are made, so that none is ever without its note."""
        try:
            self.path.mkdir(mode=0o700)
            self._note.write_text(json.dumps([str(folder) for folder in cgroups.folders] if cgroups else []), encoding="utf-8")
            for folder in (self.stage, self.workspace):
                folder.mkdir(mode=0o755)
            if account.uid != os.geteuid():
                os.chown(self.workspace, account.uid, account.gid)
        except FileExistsError as error:
            raise TargetFailed(f"There is a sandbox {self.path.name} here already.") from error
        except OSError as error:
            raise TargetFailed(f"The folder {self.path} could not be made: {error.strerror}.") from error

    def cgroups(self) -> Group | None:
        """The cgroups that belong to it."""
        with suppress(OSError, ValueError):
            if noted := json.loads(self._note.read_text(encoding="utf-8")):
                return Group(tuple(Path(folder) for folder in noted))
        return None

    def remember(self, pid: int) -> None:
        """Note the process that a command's others descend from, so that another worker can end it."""
        with suppress(FileNotFoundError), self._process_note.open("a", encoding="utf-8") as notes:
            notes.write(f"{pid} {started_at(pid)}\n")

    def processes(self) -> list[int]:
        """The noted processes that still run."""
        found: list[int] = []
        with suppress(OSError, ValueError):
            for line in self._process_note.read_text(encoding="utf-8").splitlines():
                pid, began = line.split()
                if started_at(int(pid)) == began:
                    found.append(int(pid))
        return found

    def remove(self) -> None:
        """Remove it and everything in it. Repeatable. Raises TargetFailed."""
        with suppress(FileNotFoundError):
            self._note.unlink()
        try:
            remove_tree(self.path)
        except OSError as error:
            raise TargetFailed(f"The folder {self.path} could not be removed: {error.strerror}.") from error

    @property
    def _note(self) -> Path:
        return self.path / "cgroups.json"

    @property
    def _process_note(self) -> Path:
        return self.path / "processes"


def started_at(pid: int) -> str | None:
    """When a process began, in ticks since the host did; None where there is none, or only its corpse."""
    with suppress(OSError):
        # the name in parentheses may hold anything, so count from its end
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] == b"Z" else fields[19].decode()
    return None


def folder_of(root: Path, handle: str) -> Folder:
    """The folder of a sandbox. Raises SandboxRefused for a handle that is none."""
    if _HANDLE.fullmatch(handle) is None:
        raise SandboxRefused(f"{handle!r} is no handle of a sandbox.")
    return Folder(root / handle)


def list_folders(root: Path) -> list[str]:
    """The handles of all sandboxes below a root."""
    with suppress(FileNotFoundError):
        return sorted(entry.name for entry in os.scandir(root) if _HANDLE.fullmatch(entry.name))
    return []
