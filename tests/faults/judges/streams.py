"""G7: what a stream showed is what is stored, without gap, repeat or change, and resumes by id on any replica."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
from tests.faults.evidence import Evidence, Row
from tests.faults.judges.runs import TERMINAL
from tests.faults.record import Call, Seen
from tests.faults.verdicts import Verdict, judged

_DELTAS = {"message.delta", "reasoning.delta"}
_HIDDEN = {"reasoning.delta", "job.output"}  # not shown unless the verbosity is `full`
_RESET = "message.reset"
LOST = 1.0  # seconds of deltas before a death that may be absent: 50 ms of flush interval, and what a busy machine makes of it


@dataclass
class Chain:
    """What one client saw of one run, from where it began to where it left off, over as many connections as it took."""

    client: str
    run_id: str
    begins_after: int = 0
    calls: list[Call] = field(default_factory=list[Call])

    @property
    def seen(self) -> list[Seen]:
        return [event for call in self.calls for event in call.events]

    def __str__(self) -> str:
        return f"run {self.run_id}, seen by {self.client} over {len(self.calls)} connections"


def judge(evidence: Evidence) -> list[Verdict]:
    """G7."""
    chains = chains_of(evidence)
    violations = [violation for chain in chains for violation in _of_chain(evidence, chain)]
    violations += [violation for run in evidence.runs.values() for violation in _of_stored(evidence, run)]
    resumed = sum(len(chain.calls) > 1 for chain in chains)
    reset = sum(any(event.name == _RESET for event in chain.seen) for chain in chains)
    return [judged("G7", len(chains), f"streams, {resumed} of them resumed, {reset} with a reset", violations)]


def chains_of(evidence: Evidence) -> list[Chain]:
    """The record's streams; a `follow` without `after` begins anew."""
    chains: list[Chain] = []
    latest: dict[tuple[str, str], Chain] = {}
    for call in sorted(evidence.calls, key=lambda call: call.began):
        if call.op not in {"stream", "follow", "replay"} or call.status != 200 or not call.run_id:
            continue
        place = (call.client, call.run_id)
        if call.op == "stream" or not call.after or place not in latest:
            latest[place] = Chain(call.client, call.run_id, call.after or 0)
            chains.append(latest[place])
        latest[place].calls.append(call)
    return chains


def text_of(events: list[Seen]) -> str:
    """What a client shows of the last message when the stream has ended: its deltas, dropped where a reset says so.

    What members of a team say is for their leader.
    """
    done = current = ""
    for event in events:
        if "member" in data_of(event):
            continue
        if event.name == "message.delta":
            current += data_of(event)["text"]
        elif event.name == _RESET:
            current = ""
        elif event.name == "message.completed":
            done, current = current, ""
    return current or done


def data_of(event: Seen) -> Row:
    """The JSON of a frame."""
    return msgspec.json.decode(event.raw.split("\ndata: ", 1)[1])


def _of_chain(evidence: Evidence, chain: Chain) -> Iterator[str]:
    seen = chain.seen
    ids = [chain.begins_after, *(event.id for event in seen)]
    if any(later <= earlier for earlier, later in pairwise(ids)):
        yield f"{chain}: ids do not strictly increase: {ids[:50]}"
        return
    if chain.run_id not in evidence.runs:
        return  # told by G1
    run = evidence.runs[chain.run_id]
    stored = {event.id: event for event in evidence.events.get(chain.run_id, [])}
    yield from _changed(evidence, chain, run, stored)
    yield from _missed(chain, stored)
    yield from _ended(evidence, chain, run)


def _changed(evidence: Evidence, chain: Chain, run: Row, stored: dict[int, Seen]) -> Iterator[str]:
    resets = [event.id for event in stored.values() if event.name == _RESET]
    lost: list[Seen] = []
    for event in chain.seen:
        if event.id not in stored:
            lost.append(event)
        elif event.raw != stored[event.id].raw:
            yield f"{chain}: event {event.id} was sent as {event.raw!r}, it is stored as {stored[event.id].raw!r}"
    for event in lost:
        # Whoever took a run over sends its reset as it sends deltas; if it dies as well, the next one's takes its place.
        if event.name not in {*_DELTAS, _RESET} or run["epoch"] == 1 or not any(reset > event.id for reset in resets):
            yield f"{chain}: event {event.id} ({event.name}) was sent, but is neither stored nor void by a reset"
    yield from _lost_too_much(evidence, chain, run, lost)


def _lost_too_much(evidence: Evidence, chain: Chain, run: Row, lost: list[Seen]) -> Iterator[str]:
    if not lost or any(fault.kind == "database.away" for fault in evidence.faults if fault.ended > run["created_at"]):
        return
    by_flight: dict[int, list[Seen]] = defaultdict(list)  # what is lost lies between two stored events, of one life of the run
    bounds = sorted({event.id for event in (*evidence.events[chain.run_id], *filter(_begins_a_life, lost))})
    for event in lost:
        by_flight[bisect_right(bounds, event.id)].append(event)
    for events in by_flight.values():
        seconds = _at(events[-1]) - _at(events[0])
        if seconds > LOST:
            yield f"{chain}: {seconds:.2f} s of deltas are lost, {len(events)} events from {events[0].id}"


def _begins_a_life(event: Seen) -> bool:
    return event.name == _RESET and "member" not in data_of(event)


def _at(event: Seen) -> float:
    return dt.datetime.fromisoformat(data_of(event)["at"]).timestamp()


def _missed(chain: Chain, stored: dict[int, Seen]) -> Iterator[str]:
    seen = {event.id for event in chain.seen}
    if not seen:
        return
    last, full = max(seen), any(call.op == "replay" for call in chain.calls)
    due = [
        event.id
        for event in stored.values()
        if chain.begins_after < event.id <= last and (full or event.name not in _HIDDEN) and event.id not in seen
    ]
    if due:
        yield f"{chain}: stored events were never shown: {due[:20]}"


def _ended(evidence: Evidence, chain: Chain, run: Row) -> Iterator[str]:
    last = chain.calls[-1]
    if not chain.seen or chain.seen[-1].name not in TERMINAL:
        # A replica that stops ends its streams in order, resumable by the id that was seen last.
        if not (last.leaves or last.error or evidence.during(last, "replica.terminated")):
            yield f"{chain}: it ended with {chain.seen[-1].name if chain.seen else 'nothing'}, its run is {run['status']}"
    elif chain.seen[-1].name == "run.completed" and not chain.begins_after:
        content = run["result"]["content"]
        if text_of(chain.seen) != content:
            yield f"{chain}: its text is {text_of(chain.seen)[:80]!r}, the answer is {content[:80]!r}"


def _of_stored(evidence: Evidence, run: Row) -> Iterator[str]:
    ids = [event.id for event in evidence.events.get(run["id"], [])]
    if ids != sorted(set(ids)):
        yield f"run {run['id']}: stored ids are not strictly increasing"
    elif run["epoch"] == 1 and run["completed_at"] and ids != list(range(1, len(ids) + 1)):
        yield f"run {run['id']}: no process died, but its ids are not contiguous"
    elif ids and ids[-1] > run["reserved_seq"]:
        yield f"run {run['id']}: event {ids[-1]} lies above the reserved {run['reserved_seq']}"
