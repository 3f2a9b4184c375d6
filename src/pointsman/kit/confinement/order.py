"""What the spawner is told to run, and how it answers; both ends import this, so it imports little."""

from __future__ import annotations

import json
from typing import Any

WORKSPACE = "/workspace"
"""Where a confined program finds its workspace."""


class Bind:
    """A file or folder of the host that is seen inside at `path`."""

    def __init__(self, source: str, path: str, *, writable: bool = False) -> None:
        self.source = source
        self.path = path
        self.writable = writable


class Order:
    """One program to run.

    `uid` and `gid` are those it runs under (the caller's own where that is not root). `stage` is an empty folder to mount on, `cgroups`
    are folders that it joins. The bounds are of one file in MB, of descriptors, of processes and of the memory of each of them (0: bounded
    by its cgroup), and of each of its temporary file systems. `namespaces` off runs it beside everything else, where the operator wanted
    it so.
    """

    def __init__(
        self,
        *,
        argv: list[str],
        environment: dict[str, str],
        cwd: str,
        workspace: str,
        stage: str,
        uid: int,
        gid: int,
        binds: list[Bind],
        cgroups: list[str],
        network: bool,
        files_mb: int,
        open_files: int,
        processes: int,
        memory_mb: int,
        tmp_mb: int,
        namespaces: bool,
        bubblewrap: str | None = None,
    ) -> None:
        self.argv = argv
        self.environment = environment
        self.cwd = cwd
        self.workspace = workspace
        self.stage = stage
        self.uid = uid
        self.gid = gid
        self.binds = binds
        self.cgroups = cgroups
        self.network = network
        self.files_mb = files_mb
        self.open_files = open_files
        self.processes = processes
        self.memory_mb = memory_mb
        self.tmp_mb = tmp_mb
        self.namespaces = namespaces
        self.bubblewrap = bubblewrap

    @staticmethod
    def read(told: dict[str, Any]) -> Order:
        """The order that `told` tells of."""
        told["binds"] = [Bind(**bind) for bind in told["binds"]]
        return Order(**told)

    def text(self) -> str:
        """The order as JSON."""
        return json.dumps({**vars(self), "binds": [vars(bind) for bind in self.binds]})
