"""G12: none of the secrets in use was found anywhere; the search itself is `tests.faults.places`."""

from __future__ import annotations

from tests.faults.evidence import Evidence
from tests.faults.verdicts import Verdict, judged


def judge(evidence: Evidence) -> list[Verdict]:
    """G12, from what the search noted: `{"searched": place, "secrets": n}` and `{"found": name, "in": place}`."""
    findings = evidence.findings or []
    searched = [row for row in findings if "searched" in row]
    found = [f"{row['found']} is in {row['in']}" for row in findings if "found" in row]
    secrets = max((row["secrets"] for row in searched), default=0)
    return [judged("G12", len(searched), f"places searched for {secrets} secrets", found)]
