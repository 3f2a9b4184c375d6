"""Holds requirements.lock against pyproject.toml without a network: complete, hashed, and free of addresses."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>[^\s;\\]+)")
MOST_DIRECT = 54  # of which 33 or so are in every installation; the rest are extras, and what it takes to work on it


def main() -> int:
    """Print each fault on a line; 0 when there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = direct(project)
    found = faults(wanted, (ROOT / "requirements.lock").read_text())
    for fault in found:
        print(f"check-lock: {fault}", file=sys.stderr)
    if not found:
        print(f"check-lock: passed, {len(wanted)} direct dependencies")
    return 1 if found else 0


def direct(project: dict[str, Any]) -> list[Requirement]:
    """The dependencies that pyproject.toml names, those of the extras included."""
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return [Requirement(line) for group in (project["dependencies"], *extras.values()) for line in group]


def faults(wanted: list[Requirement], lock: str) -> list[str]:
    """What is wrong with the lock's text."""
    entries = lock.replace("\\\n", " ").splitlines()
    pins = {canonicalize_name(match["name"]): match["version"] for entry in entries if (match := PINNED.match(entry))}
    return [
        *(f"{need.name} is not in requirements.lock; run make lock" for need in wanted if canonicalize_name(need.name) not in pins),
        *(
            f"requirements.lock has {need.name} {pins[canonicalize_name(need.name)]}, pyproject.toml asks {need.specifier}; run make lock"
            for need in wanted
            if canonicalize_name(need.name) in pins and Version(pins[canonicalize_name(need.name)]) not in need.specifier
        ),
        *(f"{entry.split()[0]} has no hash" for entry in entries if PINNED.match(entry) and "--hash=sha256:" not in entry),
        *(f"an address stands in requirements.lock: {entry.strip()[:80]}" for entry in entries if "://" in entry or "--index" in entry),
        *([f"{len(wanted)} direct dependencies, {MOST_DIRECT} are allowed"] if len(wanted) > MOST_DIRECT else []),
    ]


if __name__ == "__main__":
    sys.exit(main())
