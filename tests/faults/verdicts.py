"""What a judge says of one guarantee: held, violated (with the evidence) or not exercised."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

Outcome = Literal["held", "violated", "not exercised"]


class Verdict(msgspec.Struct, kw_only=True):
    """One guarantee's verdict: how much it was judged by (`cases`, in the judge's own words) and each violation."""

    guarantee: str
    outcome: Outcome
    cases: str
    violations: list[str] = []


def judged(guarantee: str, cases: int, what: str, violations: Iterable[str]) -> Verdict:
    """The verdict on so many cases: without any it was not exercised."""
    found = list(violations)
    outcome: Outcome = "violated" if found else "held" if cases else "not exercised"
    return Verdict(guarantee=guarantee, outcome=outcome, cases=f"{cases} {what}", violations=found)


def is_good(verdicts: Iterable[Verdict], required: Iterable[str] = ()) -> bool:
    """Nothing violated, and what the program is about was exercised."""
    outcomes = {verdict.guarantee: verdict.outcome for verdict in verdicts}
    return "violated" not in outcomes.values() and all(outcomes.get(name) == "held" for name in required)


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(verdicts)), indent=2) + b"\n")
