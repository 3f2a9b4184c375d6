"""The report: a table for people, the same as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmarks.results import Mark, Row

_PREFIXES = ("p50", "p99", "cpu", "database_cpu", "upstream_cpu", "generator_cpu", "first_token", "requests", "tokens", "open")


def markdown(rows: list[Row], facts: list[str], notes: list[str]) -> str:
    """The whole report."""
    lines = ["# Benchmark", "", *(f"- {fact}" for fact in facts), *(f"- {note}" for note in notes), ""]
    lines += ["## Marks", "", "| row | what | figure | mark | |", "|---|---|---|---|---|"]
    lines += [line for row in rows for line in _verdicts(row)]
    lines += ["", "## Figures", ""]
    lines += [line for row in rows for line in _figures(row)]
    return "\n".join(lines) + "\n"


def _verdicts(row: Row) -> list[str]:
    if row.failure:
        return [f"| `{row.name}` | {row.what} | | | FAILED: {row.failure} |"]
    return [f"| `{row.name}` | {row.what}: {mark.what} | {number(mark.value)} | {_bound(mark)} | {_verdict(mark)} |" for mark in row.marks]


def _bound(mark: Mark) -> str:
    return f"{mark.comparison} {mark.bound:,g}"


def _verdict(mark: Mark) -> str:
    return "pass" if mark.passed else "**below**"


def _figures(row: Row) -> list[str]:
    if not row.sides:
        return []
    names = list(dict.fromkeys(name for side in row.sides.values() for name in side))
    lines = [f"### `{row.name}`: {row.what}", "", f"| | {' | '.join(row.sides)} |", "|---" * (len(row.sides) + 1) + "|"]
    for name in names:
        cells = [number(side[name]) if name in side else "" for side in row.sides.values()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return [*lines, "", *row.notes, *([""] if row.notes else [])]


def number(value: float) -> str:
    """Three digits that count."""
    if value != value:  # noqa: PLR0124 - not a number
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(folder: Path, rows: list[Row], text: str, facts: list[str]) -> None:
    """Leave the report in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.md").write_text(text)
    content = {"machine": facts, "rows": [{**dataclasses.asdict(row), "passed": row.passed} for row in rows]}
    (folder / "bench.json").write_text(json.dumps(content, indent=1))
