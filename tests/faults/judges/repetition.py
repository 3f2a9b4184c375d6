"""G4: of all copies of a request with one Idempotency-Key one is done, all get its answer, and another body is refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.faults.evidence import Evidence, told
from tests.faults.record import Call
from tests.faults.verdicts import Verdict, judged

# What says nothing of the request itself, is not kept, and whose caller comes again.
_PASSING = {401, 403, 429}
_MADE_ALREADY = {"prompt-exists", "agent-exists"}


def judge(evidence: Evidence) -> list[Verdict]:
    """G4."""
    groups: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.idempotency_key:
            groups[call.key, call.path, call.idempotency_key].append(call)
    violations = [violation for group in groups.values() for violation in _of_group(evidence, group)]
    copies = sum(len(group) for group in groups.values())
    return [judged("G4", len(groups), f"idempotency keys, {copies} copies sent", violations)]


def _of_group(evidence: Evidence, group: list[Call]) -> Iterator[str]:
    answered = [call for call in group if 200 <= call.status < 300]
    key = group[0].idempotency_key
    bodies = {call.message for call in answered}
    if len(bodies) > 1:
        yield f"key {key}: two bodies were answered: {', '.join(told(call) for call in answered)}"
        return
    runs = {call.run_id for call in answered}
    if len(runs) > 1:
        yield f"key {key}: {len(runs)} runs were answered: {sorted(runs)}"
    for message in bodies or {call.message for call in group}:
        made = evidence.runs_by_message.get(message, [])
        if len(made) > 1:
            yield f"key {key}: {len(made)} runs were made: {[run['id'] for run in made]}"
    yield from _answers_differ(evidence, key, answered)
    yield from _made_twice(evidence, key, answered)
    for call in group:
        if answered and call.status and call not in answered:
            yield from _refused(evidence, key, call, same_body=bodies == {call.message})


def _answers_differ(evidence: Evidence, key: str, answered: list[Call]) -> Iterator[str]:
    texts = {call.text for call in answered if call.run_status == "completed"}
    if len(texts) > 1:
        yield f"key {key}: its answers differ: {sorted(str(text)[:40] for text in texts)}"
    digests = Counter(call.digest for call in answered if call.digest)
    if len(digests) > 1:
        yield f"key {key}: its answers differ by their bytes: {sorted(digests.values())} were equal"
    streams = [call for call in answered if call.events and call.run_status and not call.after]
    if any(evidence.runs.get(call.run_id, {}).get("epoch") != 1 for call in streams):
        return  # what a dead replica had sent and not stored is void, and G7's to judge
    shown = {tuple(event.raw for event in call.events) for call in streams}
    if len(shown) > 1:
        yield f"key {key}: its streams differ: of {sorted(len(events) for events in shown)} events"


def _made_twice(evidence: Evidence, key: str, answered: list[Call]) -> Iterator[str]:
    wrote = next((call.wrote for call in answered if call.wrote is not None), None)
    if wrote is None:
        return
    made = sum(row["kind"] == wrote.kind and row["text"] == wrote.text for row in evidence.tables["written"])
    if made > 1:
        yield f"key {key}: the {wrote.kind} {wrote.id} was made {made} times"


def _refused(evidence: Evidence, key: str, call: Call, *, same_body: bool) -> Iterator[str]:
    if not same_body:
        if call.status not in {409, 422, 503}:
            yield f"key {key}: another body was not refused as such: {told(call)}"
    elif call.status == 422:
        yield f"key {key}: the same body was refused as another: {told(call)}"
    elif call.code in _MADE_ALREADY:
        # Stated as a limit: who dies between the commit and keeping the answer leaves a key whose request is made once more.
        if not any(fault.kind in {"replica.killed", "failpoint", "database.away"} for fault in evidence.faults):
            yield f"key {key}: told that it exists, though nothing had died: {told(call)}"
    elif call.status < 500 and call.status not in _PASSING and not call.retry_after:
        yield f"key {key}: answered, and refused: {told(call)}"
