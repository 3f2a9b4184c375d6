"""What no target takes: commands that no kernel runs, environments with names of ours, handles that are none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pointsman.execution.errors import SandboxRefused

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HANDLE = re.compile(r"pm-[A-Za-z0-9-]{1,100}")


def require_command(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Raises SandboxRefused."""
    if not argv or not argv[0]:
        raise SandboxRefused("A command needs a program.", hint='Name one: ["ls", "-l"].')
    if any("\0" in text for text in (*argv, *env.values())):
        raise SandboxRefused("A command or its environment holds a NUL, which no program can be given.")
    for name in env:
        if not _VARIABLE.fullmatch(name):
            raise SandboxRefused(f"{name[:100]!r} is no name of an environment variable.")
        if name.upper().startswith("POINTSMAN_"):
            raise SandboxRefused(f"{name} cannot be set in a sandbox: names that begin with POINTSMAN_ are the gateway's own.")


def require_handle(handle: str) -> None:
    """Raises SandboxRefused."""
    if not _HANDLE.fullmatch(handle):
        raise SandboxRefused(f"{handle[:100]!r} is no handle of a sandbox.")
