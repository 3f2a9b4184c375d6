"""The index of decisions, made from their headings."""

from __future__ import annotations

from pathlib import Path

from pages.markdown import page, table

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
INTRODUCTION = """
What was decided, why, what follows from it, and what keeps it so. A decision that is replaced stays, and says by which one.
"""


def pages() -> dict[str, str]:
    """The index, by its path below docs/."""
    rows = [row_of(path) for path in sorted(FOLDER.glob("[0-9]*.md"))]
    return {"decisions/index.md": page("Decisions", INTRODUCTION, table(("", "Decision", "Status"), rows))}


def row_of(path: Path) -> tuple[str, str, str]:
    """Number, linked title and status of a decision."""
    lines = path.read_text().splitlines()
    number, _, title = lines[0].removeprefix("# ").partition(". ")
    status = next(line for line in lines if line.startswith("**Status:**"))
    return (number, f"[{title}]({path.name})", status.removeprefix("**Status:** "))
