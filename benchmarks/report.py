"""The report: a table for people, the same as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from benchmarks.plots import draw
from benchmarks.results import OURS, Mark, Row


def markdown(rows: list[Row], facts: list[str]) -> str:
    """The whole report."""
    lines = ["# Benchmark", "", *(f"- {fact}" for fact in facts), "", "## Marks", "", *marks(rows), "", "## Figures", ""]
    lines += [line for row in rows for line in _figures(row)]
    return "\n".join(lines) + "\n"


def marks(rows: list[Row]) -> list[str]:
    """The table of what has to be reached."""
    peers = list(dict.fromkeys(name for row in rows for mark in row.marks for name in mark.others if name in _columns(rows)))
    head = ["row", "what", *peers, "Pointsman", "CPU ms of gateway + database", "mark", ""]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        if row.failure:
            lines.append(f"| `{row.name}` | {row.what} |{' |' * len(peers)} | | | FAILED: {row.failure[:200]} |")
        for mark in row.marks:
            others = [number(mark.others[name]) if name in mark.others else "" for name in peers]
            cells = [f"`{row.name}`", f"{row.what}: {mark.what}", *others, number(mark.value), _cost(row), _bound(mark)]
            lines.append(f"| {' | '.join(cells)} | {'pass' if mark.passed else '**below**'} |")
    return lines


def _columns(rows: list[Row]) -> list[str]:
    """The sides that several rows have: the floor and peers, not the variants within one row."""
    names = [name for row in rows for name in row.sides if name != OURS]
    return [name for name in dict.fromkeys(names) if name == "floor" or names.count(name) > 1]


def _cost(row: Row) -> str:
    ours = row.sides.get(OURS, {})
    return f"{number(ours['cpu_ms'])} + {number(ours.get('database_cpu_ms', 0.0))}" if "cpu_ms" in ours else ""


def _bound(mark: Mark) -> str:
    return f"{mark.comparison} {mark.bound:,g}"


def growth(rows: list[Row]) -> list[str]:
    """The table of rows that compare the gateway to itself."""
    lines = ["| row | | requests/s | p50 ms | CPU ms of gateway + database |", "|---|---|---|---|---|"]
    for row in rows:
        for name, side in row.sides.items():
            cost = f"{number(side['cpu_ms'])} + {number(side['database_cpu_ms'])}"
            lines.append(f"| `{row.name}` | {name} | {number(side['requests_per_second'])} | {number(side['p50_ms'])} | {cost} |")
    return lines


def _figures(row: Row) -> list[str]:
    if not row.sides:
        return []
    names = list(dict.fromkeys(name for side in row.sides.values() for name in side))
    lines = [f"### `{row.name}`: {row.what}", "", f"| | {' | '.join(row.sides)} |", "|---" * (len(row.sides) + 1) + "|"]
    for name in names:
        cells = [number(side[name]) if name in side else "" for side in row.sides.values()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    return [*lines, "", *(f"{note}\n" for note in row.notes)]


def number(value: float) -> str:
    """Three digits that count."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(folder: Path, rows: list[Row], text: str, facts: list[str]) -> None:
    """Leave the report in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = "\n".join(f"![{name}]({name})" for name in draw(folder, rows))
    (folder / "bench.md").write_text(f"{text}\n## Pictures\n\n{pictures}\n")
    content = {"facts": facts, "rows": [{**dataclasses.asdict(row), "passed": row.passed} for row in rows]}
    (folder / "bench.json").write_text(json.dumps(content, indent=1))


def read(file: Path) -> tuple[list[Row], list[str]]:
    """What `write` left: rows and facts."""
    content: dict[str, Any] = json.loads(file.read_text())
    for row in content["rows"]:
        del row["passed"]
        row["marks"] = [Mark(**mark) for mark in row["marks"]]
    return [Row(**row) for row in content["rows"]], content["facts"]
