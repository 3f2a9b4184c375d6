"""The few pieces of Markdown that generated pages are made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made by `make docs` from the code. Edit the code, then run it again. -->"


def page(title: str, *blocks: str) -> str:
    """A whole page: the notice, a heading, the blocks with an empty line between them."""
    return "\n\n".join([NOTICE, f"# {title}", *(block.strip("\n") for block in blocks if block.strip())]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def cell(value: str) -> str:
    """One line, its pipes escaped."""
    return " ".join(value.split()).replace("|", "\\|")


def code(value: object) -> str:
    """Inline code; nothing for nothing."""
    return f"`{value}`" if str(value) else ""


def docstring(thing: object) -> str:
    """A docstring with its indentation taken off, its paragraphs kept."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")
