"""THE state machine of jobs: every status, every edge, and the diagram in the documents; a trigger in the database holds the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pointsman.jobs.errors import JobStateRefused

Status = Literal["queued", "running", "awaiting_approval", "completed", "failed", "oom", "failed_circuit_open"]

FIRST: Status = "queued"

EDGES: Mapping[Status, Mapping[Status, str]] = {
    "queued": {
        "running": "claimed by a worker",
        "failed": "cancelled, or nothing can run it",
        "failed_circuit_open": "a breaker is open",
    },
    "running": {
        "queued": "retried, lost or handed over",
        "awaiting_approval": "a person has to decide",
        "completed": "done",
        "failed": "failed, cancelled or out of time",
        "oom": "out of memory for good",
        "failed_circuit_open": "a breaker is open",
    },
    "awaiting_approval": {"queued": "decided", "failed": "denied or cancelled"},
    "completed": {},
    "failed": {"queued": "retried by somebody"},
    "oom": {"queued": "retried by somebody"},
    "failed_circuit_open": {"queued": "retried by somebody"},
}
"""From each status to those that may follow it, with what makes it so."""

ENDED: frozenset[Status] = frozenset({"completed", "failed", "oom", "failed_circuit_open"})
"""What a job stays in until somebody asks for more."""

RETRYABLE: frozenset[Status] = frozenset(status for status in ENDED if "queued" in EDGES[status])


def require_edge(before: Status, after: Status) -> None:
    """Raises JobStateRefused where the one may not follow the other."""
    if after not in EDGES[before]:
        allowed = ", ".join(EDGES[before]) or "nothing"
        raise JobStateRefused(f"A job that is {before} cannot become {after}.", hint=f"What may follow {before}: {allowed}.")


def diagram() -> str:
    """The machine as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST}: created"]
    lines += [f"    {before} --> {after}: {why}" for before, edges in EDGES.items() for after, why in edges.items()]
    lines += [f"    {status} --> [*]" for status, edges in EDGES.items() if not edges]
    return "\n".join(lines)


def table() -> str:
    """The same as a table in Markdown."""
    lines = ["| From | To | When |", "| --- | --- | --- |", f"| | `{FIRST}` | created |"]
    lines += [f"| `{before}` | `{after}` | {why} |" for before, edges in EDGES.items() for after, why in edges.items()]
    return "\n".join(lines)
