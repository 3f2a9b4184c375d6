"""`make bench`: everything that has a mark, beside the floor in the same run, with the processor time that it cost."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import machine, report
from benchmarks.driver import LoadFailedError
from benchmarks.gateways import spent
from benchmarks.measuring import progress
from benchmarks.peers import PEERS
from benchmarks.processes import ROOT
from benchmarks.results import Row
from benchmarks.rows import ROWS
from benchmarks.stage import Stage, set_up


def main() -> None:
    """Measure, print the table, leave it as Markdown and JSON."""
    options = _options()
    signal.signal(signal.SIGTERM, _stop)
    facts = machine.facts()
    rows: list[Row] = []
    text = ""
    with set_up(options) as stage:
        for name in options.only or ROWS:
            rows.append(_measured(name, stage))
            told = [*facts, f"rounds: {options.rounds}, the targets in turn in each; the median counts", *stage.notes, spent(stage.gateway)]
            text = report.markdown(rows, told)
            report.write(options.report, rows, text, told)  # after each row, so that a run that is stopped leaves what it has
    print(text)
    progress(f"bench: the report is {options.report / 'bench.md'}")
    if failed := [row.name for row in rows if row.failure]:
        sys.exit(f"bench: failed: {', '.join(failed)}")


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit("bench: stopped")  # so that what was started is stopped too


def _measured(name: str, stage: Stage) -> Row:
    progress(f"bench: {name} …")
    began = time.monotonic()
    try:
        row = ROWS[name](stage)
    except LoadFailedError as failed:
        row = Row(name, "not measured", failure=str(failed))
    row.seconds = round(time.monotonic() - began, 1)
    for mark in row.marks:
        progress(
            f"bench: {name}: {mark.what} {report.number(mark.value)} ({mark.comparison} {mark.bound:g}{'' if mark.passed else ': BELOW'})"
        )
    progress(f"bench: {name}: {row.failure or 'measured'} in {row.seconds} s")
    return row


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=f"measure this row; may be repeated: {', '.join(ROWS)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--requests", type=int, default=2000, help="requests in a round; rows of few long requests take fewer")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds for which an idle gateway is watched")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which agents and keys are taken")
    parser.add_argument("--peers", action="append", choices=PEERS, default=[], help="measure this gateway of others too, where it installs")
    parser.add_argument("--report", type=Path, default=ROOT / "reports" / "bench", help="folder for bench.md and bench.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
