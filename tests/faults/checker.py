"""The history checker, a program of its own: `python -m tests.faults.checker DIR`.

It reads what a program left in DIR, nothing else: the clients' record (`record.jsonl`), the upstream's ledger (`ledger.jsonl`), the
database (`database.jsonl`, see `evidence.DUMP`) and what the search for secrets found (`findings.jsonl`). It writes `verdicts.json` and
prints a line per guarantee: held, violated with the evidence, or not exercised. Exit status 1 when one was violated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.faults.evidence import Evidence, read_evidence
from tests.faults.judges import limits, repetition, requests, runs, secrecy, streams, usage
from tests.faults.verdicts import Verdict, is_good, write_verdicts

_SHOWN = 10


def judge(evidence: Evidence) -> list[Verdict]:
    """Every guarantee's verdict, in the order of their numbers."""
    verdicts = [verdict for judges in (runs, repetition, usage, streams, requests, limits, secrecy) for verdict in judges.judge(evidence)]
    return sorted(verdicts, key=lambda verdict: int(verdict.guarantee[1:]))


def check(folder: Path) -> list[Verdict]:
    """Judge a program's folder, and leave the verdicts in it."""
    verdicts = judge(read_evidence(folder))
    write_verdicts(folder / "verdicts.json", verdicts)
    return verdicts


def told(verdicts: list[Verdict]) -> str:
    """The verdicts for people, a line each and the first violations below."""
    lines: list[str] = []
    for verdict in verdicts:
        lines.append(f"{verdict.guarantee:4} {verdict.outcome:14} {verdict.cases}")
        lines += [f"       {violation}" for violation in verdict.violations[:_SHOWN]]
        if (more := len(verdict.violations) - _SHOWN) > 0:
            lines.append(f"       and {more} more in verdicts.json")
    return "\n".join(lines)


def main() -> int:
    """Judge, print, and say by the status."""
    parser = argparse.ArgumentParser(description="Judge what a fault program left behind.")
    parser.add_argument("folder", type=Path)
    verdicts = check(parser.parse_args().folder)
    print(told(verdicts))
    return 0 if is_good(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
