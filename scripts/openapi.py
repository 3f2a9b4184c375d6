"""Writes docs/reference/openapi.json; `--check` says whether it is what the routes of this code describe."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from pages import http

FILE = Path(__file__).parent.parent / "docs" / "reference" / "openapi.json"


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; 0 when the file is right."""
    wanted = http.snapshot()
    found = FILE.read_text() if FILE.exists() else ""
    if "--check" in arguments:
        return compare(found, wanted)
    if found != wanted:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(wanted)
        print("openapi: wrote docs/reference/openapi.json")
    return 0


def compare(found: str, wanted: str) -> int:
    """Show how the file differs."""
    if found == wanted:
        print("check-openapi: passed")
        return 0
    lines = difflib.unified_diff(found.splitlines(), wanted.splitlines(), "docs/reference/openapi.json", "the code", lineterm="", n=2)
    print("\n".join(list(lines)[:60]), file=sys.stderr)
    print("check-openapi: the document has changed; if that is meant, run make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
