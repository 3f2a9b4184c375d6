"""Writes the figures of the last report into docs/concepts/performance.md, between its two marks: `python -m benchmarks.page`."""

from __future__ import annotations

import re

from benchmarks.processes import ROOT
from benchmarks.report import growth, marks, read

_PAGE = ROOT / "docs" / "concepts" / "performance.md"
_BLOCK = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def main() -> None:
    """Read, render, replace."""
    rows, facts = read(ROOT / "reports" / "bench" / "bench.json")
    grown = [row for row in rows if row.name.startswith("growth")]
    lines = ["", *(f"- {fact}" for fact in facts), "", *marks([row for row in rows if row not in grown])]
    lines += ["", "How the cost of a chat grows:", "", *growth(grown)] if grown else []
    text = "\n".join([*lines, "", ""])
    page = _PAGE.read_text()
    assert _BLOCK.search(page), "the page has lost its marks"
    _PAGE.write_text(_BLOCK.sub(lambda _found: text, page))


if __name__ == "__main__":
    main()
