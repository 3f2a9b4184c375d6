"""The report of a fault program: what was run, the figures, the verdicts and the charts, as Markdown beside the raw files."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.options import Options
from tests.faults.verdicts import Verdict

_SHOWN = 20


@dataclass
class Told:
    """What a program has to say beside the verdicts."""

    figures: dict[str, object] = field(default_factory=dict[str, object])  # a sentence or a name, and its number
    charts: dict[str, str] = field(default_factory=dict[str, str])  # file name without suffix: SVG
    failures: list[str] = field(default_factory=list[str])  # criteria of the program's own that were missed


def write_report(options: Options, title: str, verdicts: Sequence[Verdict], told: Told, *, good: bool, seconds: float) -> None:
    """Write `report.md` and the charts."""
    for name, svg in told.charts.items():
        (options.report / f"{name}.svg").write_text(svg)
    (options.report / "report.md").write_text(
        "\n".join([*_head(options, title, good=good, seconds=seconds), *_body(verdicts, told)]) + "\n"
    )


def _head(options: Options, title: str, *, good: bool, seconds: float) -> list[str]:
    command = f"make faults PROGRAM={options.program} SEED={options.seed} COUNT={options.count} DURATION={options.duration:g}"
    return [
        f"# {title}",
        "",
        f"**{'Passed' if good else 'FAILED'}** on {time.strftime('%Y-%m-%d %H:%M')} UTC after {seconds:.0f} s.",
        "",
        f"Again: `{command}`",
        "",
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}.",
        "",
    ]


def _body(verdicts: Sequence[Verdict], told: Told) -> list[str]:
    lines = ["| Figure | |", "| --- | --- |", *(f"| {name} | {_shown(value)} |" for name, value in told.figures.items()), ""]
    lines += ["| Guarantee | Verdict | Judged by |", "| --- | --- | --- |"]
    lines += [f"| {verdict.guarantee} | {verdict.outcome} | {verdict.cases} |" for verdict in verdicts]
    for failure in told.failures:
        lines += ["", f"**Missed:** {failure}"]
    for verdict in verdicts:
        if verdict.violations:
            lines += ["", f"## Violations of {verdict.guarantee}: {len(verdict.violations)}", ""]
            lines += [f"- {violation}" for violation in verdict.violations[:_SHOWN]]
    for name in told.charts:
        lines += ["", f"![{name}]({name}.svg)"]
    return [*lines, "", "Raw: `record.jsonl`, `ledger.jsonl`, `database.jsonl`, `findings.jsonl`, `verdicts.json`."]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
