"""Writes the generated pages of docs/ and the lists in zensical.toml; `--check` only says which ones are stale."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pages import cli, database, decisions, http, problems, settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = ROOT / "zensical.toml"
MADE_FROM_CODE = (settings, problems, database, http, cli, decisions)
LISTED = re.compile(r"(?P<begin> *# (?P<folder>\w+): made by `make docs`\n).*?(?P<end> *# (?P=folder): end)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write, or with `--check` compare; 0 when everything is fresh."""
    wanted = wanted_files()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    orphans = [path for path in (DOCS / "problems").glob("*.md") if path not in wanted]
    if "--check" in arguments:
        for path in [*stale, *orphans]:
            print(f"check-docs: {path.relative_to(ROOT)} is stale; run make docs", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        print(f"docs: wrote {path.relative_to(ROOT)}")
    for path in orphans:
        path.unlink()
        print(f"docs: removed {path.relative_to(ROOT)}")
    return 0


def wanted_files() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    pages = {DOCS / path: text for made in MADE_FROM_CODE for path, text in made.pages().items()}
    names = {path.relative_to(DOCS).as_posix() for path in [*pages, *(DOCS / "decisions").glob("[0-9]*.md")]}

    def listing(block: re.Match[str]) -> str:
        folder = block["folder"]
        chosen = [name for name in sorted(names) if name.startswith(f"{folder}/") and not name.endswith("/index.md")]
        return block["begin"] + "".join(f'    "{name}",\n' for name in chosen) + block["end"]

    return {**pages, SITE: LISTED.sub(listing, SITE.read_text())}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
