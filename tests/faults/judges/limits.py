"""G13: the hourly limit of a key, by what was let in, by what the database counted, and by what each answer said of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tests.faults.evidence import Evidence, Row, told
from tests.faults.record import Call, Key
from tests.faults.verdicts import Verdict, judged

WINDOW = 3600.0
_HOUR = re.compile(r'"hourly";r=(\d+);t=(\d+)')
_CLOCKS = 5.0  # seconds by which a window's end, told in whole seconds by a process under load, may be off


def judge(evidence: Evidence) -> list[Verdict]:
    """G13."""
    limited = [key for key in evidence.keys if key.rate_limit]
    violations = [violation for key in limited for violation in _of_key(evidence, key)]
    refused = sum(call.status == 429 for call in evidence.calls)
    return [judged("G13", len(limited), f"limited keys, {refused} answers 429", violations)]


def _of_key(evidence: Evidence, key: Key) -> Iterator[str]:
    calls = [call for call in evidence.calls if call.key == key.name and call.status not in {0, 401}]
    let_in = [call for call in calls if call.status != 429 or call.code != "rate-limited"]
    windows = [row for row in evidence.tables["rate_windows"] if row["key_id"] == key.id]
    for window in windows:
        yield from _of_window(key, window, let_in)
    ended = sorted(call.ended for call in let_in)
    if ended and len(ended) > (most := key.rate_limit * (1 + int((ended[-1] - ended[0]) / WINDOW))):
        yield f"key {key.name}: {len(ended)} were let in, the limit was {most} in that time"
    if ended and not windows:
        yield f"key {key.name}: the database has no window of it"
    yield from _told_otherwise(key, calls, let_in, windows)


def _of_window(key: Key, window: Row, let_in: list[Call]) -> Iterator[str]:
    if window["used"] > key.rate_limit:
        yield f"key {key.name}: {window['used']} counted in a window of {key.rate_limit}"
    # What was begun before the window opened may have been counted in the one before.
    within = sum(window["started_at"] <= call.began < window["started_at"] + WINDOW for call in let_in)
    if within > window["used"]:
        yield f"key {key.name}: {within} were let in, {window['used']} were counted"


def _told_otherwise(key: Key, calls: list[Call], let_in: list[Call], windows: list[Row]) -> Iterator[str]:
    """Every answer says how many are left: after each that was let in another number, after each refusal none; and when it ends."""
    places = Counter[tuple[int, int]]()
    for call in calls:
        said = _HOUR.fullmatch(call.hour)
        if said is None:
            yield f"key {key.name}: an answer that does not say where its hour stands ({call.hour!r}): {told(call)}"
            continue
        left, seconds = int(said[1]), int(said[2])
        ends = [row["started_at"] + WINDOW for row in windows]
        if ends and not any(call.began - _CLOCKS <= end - seconds <= call.ended + _CLOCKS for end in ends) and call.ended <= max(ends):
            yield f"key {key.name}: told to come back in {seconds} s, its window ends otherwise: {told(call)}"
        if call.status == 429 and call.code == "rate-limited" and left:
            yield f"key {key.name}: refused with {left} left: {told(call)}"
    for call in let_in:
        if said := _HOUR.fullmatch(call.hour):
            places[int(said[1]), sum(row["started_at"] <= call.began for row in windows)] += 1
    if twice := {left: count for (left, _), count in places.items() if count > 1}:
        yield f"key {key.name}: several requests were let in at the same place of the hour: {dict(list(twice.items())[:5])}"
