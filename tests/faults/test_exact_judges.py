"""The judges of usage, hourly limits, repetition and writes see each way in which a record, a ledger or a database could be false."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.evidence import Evidence, Row
from tests.faults.judges import limits, repetition, requests, usage
from tests.faults.record import Call, Key, Seen, Written

LIMIT = 3


def entry(text: str, *tokens: tuple[int, int], final: bool = True, status: int = 200) -> Row:
    reports = [{"prompt_tokens": prompt, "completion_tokens": completion} for prompt, completion in tokens]
    return {"text": text, "status": status, "reports": reports, "is_final": final and bool(tokens)}


def row(run: str, call: int, prompt: int, completion: int, *, estimated: bool = False) -> Row:
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"run_id": run, "call": call, "model": "openai:gpt-4o", **tokens, "is_estimated": estimated}


def billed(*rows: Row, epoch: int = 1) -> Evidence:
    """One run of two attempts: the first broke off without a report, the second said its usage twice."""
    evidence = Evidence(ledger=[entry("hi"), entry("hi", (10, 5), (10, 7))])
    total = {name: sum(row[name] for row in rows) for name in ("prompt_tokens", "completion_tokens")}
    run = {"id": "run_1", "status": "completed", "epoch": epoch, "completed_at": 1.0, "request": {"message": "hi"}}
    evidence.tables["runs"] = [{**run, "result": {"usage": total}}]
    evidence.tables["usage"] = list(rows)
    return evidence


ESTIMATED, EXACT = row("run_1", 0, 9, 2, estimated=True), row("run_1", 1, 10, 7)


def test_a_true_bill_is_held() -> None:
    (verdict,) = usage.judge(billed(ESTIMATED, EXACT))
    assert (verdict.outcome, verdict.violations) == ("held", [])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ESTIMATED], "reported, but not counted"),
        ([EXACT | {"call": 0}], "1 calls without a report that counts, but 0 estimated rows"),
        ([ESTIMATED, EXACT, EXACT | {"call": 2}], "counted as reported, though"),
        ([ESTIMATED, EXACT, ESTIMATED | {"call": 2}], "only 1 calls went without a report"),
        ([ESTIMATED, row("run_1", 1, 10, 12)], "counted as reported, though"),  # both of the twins
        ([ESTIMATED, row("run_1", 1, 10, 5)], "counted as reported, though"),  # the first of them
        ([ESTIMATED, EXACT | {"call": 2}], "calls are numbered"),
        ([ESTIMATED, EXACT, row("run_9", 0, 1, 1)], "usage rows belong to no run"),
    ],
)
def test_a_false_bill_is_seen(rows: list[Row], said: str) -> None:
    (verdict,) = usage.judge(billed(*rows))
    assert verdict.outcome == "violated"
    assert any(said in violation for violation in verdict.violations), verdict.violations


def test_a_call_that_was_taken_and_never_answered_may_be_counted_or_not() -> None:
    for rows in ([ESTIMATED, EXACT], [ESTIMATED, EXACT, ESTIMATED | {"call": 2}]):
        evidence = billed(*rows)
        evidence.ledger.append(entry("hi", status=0))
        assert usage.judge(evidence)[0].outcome == "held"


def test_sums_that_differ_are_seen() -> None:
    evidence = billed(ESTIMATED, EXACT)
    evidence.ledger.append(entry("hi of nobody", (1, 1)))
    assert any("in all, counted are" in violation for violation in usage.judge(evidence)[0].violations)


def hour(*calls: Call, used: int = LIMIT) -> Evidence:
    evidence = Evidence(calls=list(calls), keys=[Key(name="limited", id=7, rate_limit=LIMIT)])
    evidence.tables["rate_windows"] = [{"key_id": 7, "used": used, "started_at": 1000.0}]
    return evidence


def call(status: int, left: int, *, seconds: int = 3599, **more: Any) -> Call:
    code = "rate-limited" if status == 429 else ""
    said: dict[str, Any] = {"hour": f'"hourly";r={left};t={seconds}', "code": code, **more}
    return Call(client="c", op="read", key="limited", began=1000.5, ended=1001.0, status=status, **said)


TRUE = (call(200, 2), call(200, 1), call(404, 0), call(429, 0))


def test_a_true_hour_is_held() -> None:
    (verdict,) = limits.judge(hour(*TRUE))
    assert (verdict.outcome, verdict.violations) == ("held", [])


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (hour(*TRUE, call(200, 0)), "4 were let in"),
        (hour(*TRUE, used=4), "4 counted in a window of 3"),
        (hour(*TRUE, used=2), "3 were let in, 2 were counted"),
        (hour(call(200, 2), call(200, 2)), "at the same place of the hour"),
        (hour(*TRUE, call(429, 1)), "refused with 1 left"),
        (hour(*TRUE, call(429, 0, hour="")), "does not say where its hour stands"),
        (hour(*TRUE, call(429, 0, seconds=60)), "its window ends otherwise"),
    ],
)
def test_a_false_hour_is_seen(evidence: Evidence, said: str) -> None:
    (verdict,) = limits.judge(evidence)
    assert verdict.outcome == "violated"
    assert any(said in violation for violation in verdict.violations), verdict.violations


def copies(*calls: Call, runs: int = 1, written: int = 1) -> Evidence:
    evidence = Evidence(calls=list(calls))
    evidence.tables["runs"] = [{"id": f"run_{number}", "epoch": 1, "request": {"message": "hi"}} for number in range(1, runs + 1)]
    evidence.tables["written"] = [{"kind": "prompt", "id": "p", "text": "hi"}] * written
    return evidence


def copy(status: int = 200, message: str = "hi", **more: Any) -> Call:
    told: dict[str, Any] = {"run_id": "run_1", "run_status": "completed", "text": "tok0", "digest": "d1"} if status == 200 else {}
    return Call(client="c", op="chat", began=1, ended=2, message=message, idempotency_key="k", status=status, **{**told, **more})


def shown(*ids: int) -> list[Seen]:
    return [Seen(number, "message.delta", f"id: {number}") for number in ids]


def test_true_copies_are_held() -> None:
    busy, other = copy(409, code="idempotency-in-progress", retry_after=True), copy(422, "ho", code="idempotency-key-reused")
    (verdict,) = repetition.judge(copies(copy(), copy(), busy, other))
    assert (verdict.outcome, verdict.violations) == ("held", [])


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (copies(copy(), copy(run_id="run_2")), "2 runs were answered"),
        (copies(copy(), runs=2), "2 runs were made"),
        (copies(copy(), copy(text="tok1")), "its answers differ:"),
        (copies(copy(), copy(digest="d2")), "differ by their bytes"),
        (copies(copy(events=shown(1, 2)), copy(events=shown(1, 3))), "its streams differ"),
        (copies(copy(), copy(message="ho")), "two bodies were answered"),
        (copies(copy(), copy(422)), "the same body was refused as another"),
        (copies(copy(), copy(404)), "answered, and refused"),
        (copies(copy(), copy(409, code="agent-exists")), "told that it exists"),
        (copies(copy(wrote=Written("prompt", "p", "hi")), written=2), "was made 2 times"),
        (copies(copy(), copy(500, "ho")), "another body was not refused as such"),
    ],
)
def test_false_copies_are_seen(evidence: Evidence, said: str) -> None:
    (verdict,) = repetition.judge(evidence)
    assert verdict.outcome == "violated"
    assert any(said in violation for violation in verdict.violations), verdict.violations


def test_a_lost_write_is_seen() -> None:
    kept, made, lost = Written("prompt", "p", "hi"), Written("prompt", "", "hi"), Written("prompt", "p", "other")
    for wrote, violated in ((kept, False), (made, False), (lost, True)):
        verdicts = requests.judge(copies(copy(201, wrote=wrote)))
        (g6,) = [verdict for verdict in verdicts if verdict.guarantee == "G6"]
        assert (g6.outcome == "violated") is violated
