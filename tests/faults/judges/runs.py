"""G1: an accepted run reaches exactly one end, in time, and what was acknowledged is what is stored."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.faults.evidence import Evidence, Row, clock, told
from tests.faults.record import Call
from tests.faults.verdicts import Verdict, judged

RECOVERY = 30.0  # seconds from the last recovery in which a run must have ended, beyond its own work
TERMINAL = {"run.completed": "completed", "run.failed": "failed", "run.cancelled": "cancelled"}


def judge(evidence: Evidence) -> list[Verdict]:
    """G1."""
    violations = [*_without_an_end(evidence), *_ended_twice_or_late(evidence), *_acknowledged_otherwise(evidence), *_made_twice(evidence)]
    return [judged("G1", len(evidence.runs), f"runs, {_taken_over(evidence)} of them taken over", violations)]


def _taken_over(evidence: Evidence) -> int:
    return sum(run["epoch"] > 1 for run in evidence.runs.values())


def _without_an_end(evidence: Evidence) -> Iterator[str]:
    now = next((row["now"] for row in evidence.tables["clock"]), 0.0)
    for run in evidence.runs.values():
        if run["status"] in {"pending", "running"} and now > _due(evidence, run, now):
            yield f"run {run['id']} is still {run['status']}, begun {clock(run['created_at'])}: {run['request']['message'][:60]!r}"


def _ended_twice_or_late(evidence: Evidence) -> Iterator[str]:
    for run in evidence.runs.values():
        if run["completed_at"] is None:
            continue
        ends = [TERMINAL[event.name] for event in evidence.events.get(run["id"], []) if event.name in TERMINAL]
        if ends != [run["status"]]:
            yield f"run {run['id']} is {run['status']}, its events say {ends}"
        late = run["completed_at"] - _due(evidence, run, run["completed_at"])
        if late > 0:
            yield f"run {run['id']} ended {late:.1f} s too late, at {clock(run['completed_at'])}, epoch {run['epoch']}"


def _made_twice(evidence: Evidence) -> Iterator[str]:
    asked: dict[str, set[str]] = defaultdict(set)  # a key for repeating counts once however often it was sent
    for number, call in enumerate(evidence.calls):
        if call.op in {"chat", "stream"}:
            asked[call.message].add(call.idempotency_key or str(number))
    for message, runs in evidence.runs_by_message.items():
        if message in asked and len(runs) > len(asked[message]):
            yield f"{len(runs)} runs for what was asked {len(asked[message])} times: {[run['id'] for run in runs]} {message[:60]!r}"


def _due(evidence: Evidence, run: Row, until: float) -> float:
    """When the run must have ended: its own work after the last fault that it lived through, and 30 s."""
    recovered = [fault.ended for fault in evidence.faults if fault.began <= until and fault.ended >= run["created_at"]]
    return max([run["created_at"], *recovered]) + own_work(run["request"]["message"]) + RECOVERY


def own_work(message: str) -> float:
    """Seconds that the upstream was asked to take for this message, tool rounds included."""
    n, itl, ttft, rounds = (_marker(message, name, default) for name, default in (("n", 20), ("itl", 0), ("ttft", 0), ("rounds", 1)))
    calls = 1 + (rounds if "[[tool=" in message else 0)
    return calls * (ttft + n * itl) / 1000


def _marker(message: str, name: str, default: float) -> float:
    found = re.search(rf"[\[\s;]{name}=([0-9.]+)", message)
    return float(found[1]) if found else default


def _acknowledged_otherwise(evidence: Evidence) -> Iterator[str]:
    for call in evidence.calls:
        if not (call.run_id and 200 <= call.status < 300):
            continue
        run = evidence.runs.get(call.run_id)
        if run is None:
            yield f"acknowledged, but there is no such run: {told(call)}"
        elif call.run_status:
            yield from _differences(call, run)


def _differences(call: Call, run: Row) -> Iterator[str]:
    stored = (run["result"] or {}).get("content")
    if call.run_status != run["status"]:
        yield f"acknowledged as {call.run_status}, stored as {run['status']}: {told(call)}"
    elif call.text is not None and call.text != stored:
        yield f"acknowledged {call.text[:60]!r}, stored {str(stored)[:60]!r}: {told(call)}"
    elif call.run_status == "completed" and call.expected is not None and stored != call.expected:
        yield f"the upstream said {call.expected[:60]!r}, stored is {str(stored)[:60]!r}: {told(call)}"
    elif call.usage is not None and run["result"] and call.usage != run["result"]["usage"]:
        yield f"acknowledged usage {call.usage}, stored {run['result']['usage']}: {told(call)}"
