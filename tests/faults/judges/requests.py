"""G6, G8, G9 and G10: what single requests were answered, given what was being done to the system."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.evidence import Evidence, clock, told
from tests.faults.record import Call, Fault
from tests.faults.verdicts import Verdict, judged

BACK = 5.0  # seconds in which answers come again once the database is back
HANG = 20.0  # seconds beyond an outage in which every request of that time must have been answered
HARM = 10.0  # seconds that a healthy call may take beyond its own work, on a machine that does everything at once
DRAIN = 15.0 + 2.0


def judge(evidence: Evidence) -> list[Verdict]:
    """All of this file."""
    return [_g6(evidence), _g8(evidence), _g9(evidence), _g10(evidence)]


# --- G6


def _g6(evidence: Evidence) -> Verdict:
    outages = [fault for fault in evidence.faults if fault.kind == "database.away"]
    hit = [(call, faults) for call in evidence.calls if (faults := evidence.during(call, "database.away", grace=BACK))]
    violations = [violation for call, faults in hit for violation in _while_away(evidence, call, faults)]
    violations += [violation for outage in outages for violation in _back(evidence, outage)]
    acknowledged = [call for call in evidence.calls if call.wrote is not None and 200 <= call.status < 300]
    violations += _lost(evidence, acknowledged)
    refused = sum(call.status == 503 for call, _ in hit)
    what = f"outages, {len(hit)} calls in them, {refused} of those answered 503; {len(acknowledged)} acknowledged writes"
    return judged("G6", len(outages), what, violations)


def _lost(evidence: Evidence, acknowledged: list[Call]) -> Iterator[str]:
    stored = {(row["kind"], name, row["text"]) for row in evidence.tables["written"] for name in (row["id"], "")}
    for call in acknowledged:
        wrote = call.wrote
        if wrote is not None and (wrote.kind, wrote.id, wrote.text) not in stored:
            yield f"the {wrote.kind} {wrote.id} was acknowledged as {wrote.text[:60]!r}, and is not stored: {told(call)}"


def _while_away(evidence: Evidence, call: Call, faults: list[Fault]) -> Iterator[str]:
    if call.faulty:
        return
    if call.status >= 500 and call.status != 503:
        yield f"not 503: {told(call)}"
    if call.status == 503 and not call.retry_after:
        yield f"503 without Retry-After: {told(call)}"
    if not call.status and not (call.leaves or evidence.during(call, "replica.killed", "replica.terminated", "failpoint", grace=2)):
        yield f"no answer, though no replica died: {told(call)}"
    is_stream = call.op in {"stream", "follow", "replay"}
    if not is_stream and call.ended > max(call.began, *(fault.ended for fault in faults)) + HANG:
        yield f"it hung: {told(call)}"


def _back(evidence: Evidence, outage: Fault) -> Iterator[str]:
    asked = [call for call in evidence.calls if outage.ended <= call.began <= outage.ended + BACK - 1 and not call.faulty]
    answered = [call for call in evidence.calls if 200 <= call.status < 300 and outage.ended <= call.ended <= outage.ended + BACK]
    disturbed = any(fault.kind == "database.away" and outage.ended < fault.began < outage.ended + BACK for fault in evidence.faults)
    if asked and not answered and not disturbed:
        yield f"no answer within {BACK:g} s of {clock(outage.ended)}, when the database was back; {len(asked)} were asked for"


# --- G8


def _g8(evidence: Evidence) -> Verdict:
    faulty = [call for call in evidence.calls if call.faulty]
    if not faulty:
        return judged("G8", 0, "faulty upstream calls", [])
    first, last = min(call.began for call in faulty), max(call.ended for call in faulty)
    healthy = [
        call
        for call in evidence.calls
        if not (call.faulty or call.leaves) and call.op in {"chat", "stream"} and call.ended >= first and call.began <= last
    ]
    violations = [f"harmed: {told(call)}" for call in healthy if call.status != 200 and not _is_excused(evidence, call)]
    return judged("G8", len(faulty), f"calls with a faulty upstream, {len(healthy)} healthy ones beside them", violations)


def _is_excused(evidence: Evidence, call: Call) -> bool:
    kinds = ("database.away", "replica.killed", "replica.terminated", "overload", "failpoint")
    return call.status in {409, 429} or bool(evidence.during(call, *kinds, grace=BACK))


# --- G9


def _g9(evidence: Evidence) -> Verdict:
    stops = [fault for fault in evidence.faults if fault.kind == "replica.terminated"]
    violations = [f"{stop.replica} ended with status {stop.status}" for stop in stops if stop.status != 0]
    violations += [
        f"{stop.replica} took {stop.ended - stop.began:.1f} s to stop, from {clock(stop.began)}"
        for stop in stops
        if stop.ended - stop.began > DRAIN
    ]
    return judged("G9", len(stops), "replicas stopped in order", violations)


# --- G10


def _g10(evidence: Evidence) -> Verdict:
    answered = [call for call in evidence.calls if call.status]
    violations = [violation for call in evidence.calls for violation in _of_call(evidence, call)]
    refused = sum(call.status in {413, 429, 503} for call in answered)
    return judged("G10", len(answered), f"answers, {refused} of them 413, 429 or 503", violations)


def _of_call(evidence: Evidence, call: Call) -> Iterator[str]:
    if call.status >= 400 and not call.is_problem:
        yield f"an error that is no problem document: {told(call)}"
    if call.status >= 500 and call.status not in {502, 503, 504}:
        yield f"a 5xx of ours: {told(call)}"
    if call.status in {502, 504} and not call.faulty:
        yield f"the upstream was not asked to fail: {told(call)}"
    if call.status == 503 and not (call.faulty or _is_excused(evidence, call)):
        yield f"503, though nothing was wrong: {told(call)}"
    if call.status == 429 and not call.retry_after:
        yield f"429 without Retry-After: {told(call)}"
    deaths = evidence.during(call, "replica.killed", "replica.terminated", "overload", "failpoint", grace=2)
    if (call.error or not call.status) and not (call.leaves or deaths):
        yield f"the connection broke, though no replica died: {told(call)}"
