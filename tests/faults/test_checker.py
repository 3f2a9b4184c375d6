"""The checker finds every kind of damage: an honest history passes, and each way of falsifying it is seen for what it is."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.faults.checker import judge
from tests.faults.evidence import Evidence, frame_of
from tests.faults.record import Call, Fault, Key, Seen

BEGAN = 1_800_000_000.0
PLAIN, TOLD_AGAIN = "plain [[n=2]]", "through a death [[n=3 itl=20]]"
Falsify = Callable[[Evidence], Any]


def event(run_id: str, seq: int, name: str, *, second: int = 0, **data: Any) -> Seen:
    content = {"run_id": run_id, "seq": seq, "at": f"2027-01-15T08:00:{second:02}.000Z", **data}
    return Seen(seq, name, frame_of(seq, name, msgspec.json.encode(content).decode()))


def packed(events: list[Seen]) -> list[dict[str, Any]]:
    """The rows of the database that hold these events."""
    stored = ",".join(f'[{seen.id},"{seen.name}",{seen.raw.split("data: ", 1)[1]}]' for seen in events)
    return [{"run_id": msgspec.json.decode(events[0].raw.split("data: ", 1)[1])["run_id"], "packed": f"[{stored}]"}]


def usage(*, prompt: int, completion: int, is_estimated: bool = False) -> dict[str, Any]:
    total = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**total, "is_estimated": is_estimated, "cost": None}


def run(run_id: str, message: str, content: str, spent: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": run_id,
        "status": "completed",
        "epoch": 1,
        "reserved_seq": 1024,
        "request": {"message": message},
        "result": {"content": content, "usage": spent},
        "created_at": BEGAN,
        "completed_at": BEGAN + 1,
        **more,
    }


def entry(text: str, prompt: int, completion: int, *, is_final: bool = True) -> dict[str, Any]:
    reports = [{"prompt_tokens": prompt, "completion_tokens": completion}] if is_final else []
    return {"text": text, "status": 200, "reports": reports, "is_final": is_final, "at": BEGAN}


def counted(run_id: str, call: int, prompt: int, completion: int, *, is_estimated: bool = False) -> dict[str, Any]:
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"run_id": run_id, "call": call, "model": "stub:m", **tokens, "is_estimated": is_estimated}


# What a client saw of the run that outlived its replica: `c ` was never stored, and the reset says that it is void.
SAW = [
    event("run_2", 1, "run.started"),
    event("run_2", 2, "message.delta", text="a "),
    event("run_2", 3, "message.delta", second=5, text="lost "),
    event("run_2", 1025, "message.reset"),
    event("run_2", 1026, "message.delta", text="a "),
    event("run_2", 1027, "message.delta", text="b "),
    event("run_2", 1028, "message.completed", text="a b "),
    event("run_2", 1029, "run.completed", status="completed", content="a b "),
]

# The same with a second death right after the first reset, far from the first.
TWICE = [event("run_2", 1025, "message.reset", second=9), event("run_2", 1026, "message.delta", second=9, text="lost ")]
THRICE = [
    event("run_2", 2049, "message.reset", second=12),
    event("run_2", 2050, "message.delta", second=12, text="a b "),
    event("run_2", 2051, "message.completed", second=12, text="a b "),
    event("run_2", 2052, "run.completed", second=12, status="completed", content="a b "),
]


def call(client: str, began: float, ended: float, fields: dict[str, Any]) -> Call:
    return Call(client=client, began=BEGAN + began, ended=BEGAN + ended, **fields)


@pytest.fixture
def honest() -> Evidence:
    """Three runs, one of them through a death, a limited key, a key for repeating, and an outage that was borne well."""
    plain, through = usage(prompt=10, completion=2), usage(prompt=25, completion=4, is_estimated=True)
    first = [event("run_1", 1, "run.started"), event("run_1", 2, "run.completed", status="completed", content="ab")]
    third = [event("run_3", 1, "run.started"), event("run_3", 2, "run.completed", status="completed", content="c")]
    answer = {"op": "chat", "path": "/v2/agents/a/chat", "status": 200, "run_status": "completed"}
    told = {**answer, "message": PLAIN, "run_id": "run_1", "text": "ab", "expected": "ab", "usage": plain, "idempotency_key": "once"}
    hour = '"hourly";r=0;t=3599'
    late = {**answer, "hour": hour, "message": "late", "run_id": "run_3", "text": "c", "key": "limited"}
    away = {"op": "chat", "message": "away", "status": 503, "is_problem": True, "retry_after": True}
    sick = {"op": "chat", "message": "[[fault=500]]", "status": 502, "is_problem": True, "faulty": True}
    calls = [
        call("one", 0, 1, told),
        call("two", 0, 1, told),
        call("one", 0, 5, {"op": "stream", "message": TOLD_AGAIN, "status": 200, "run_id": "run_2", "events": SAW[:3], "error": "gone"}),
        call("one", 6, 9, {"op": "follow", "status": 200, "run_id": "run_2", "after": 3, "events": SAW[3:], "run_status": "completed"}),
        call("two", 21, 22, away),
        call("two", 25, 26, late),
        call("bad", 40, 41, sick),
        call("two", 40, 41, {**late, "key": "admin"}),
    ]
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    tables["runs"] = [
        run("run_1", PLAIN, "ab", plain),
        run("run_2", TOLD_AGAIN, "a b ", through, epoch=2, reserved_seq=2048, completed_at=BEGAN + 9),
        run("run_3", "late", "c", usage(prompt=7, completion=1), created_at=BEGAN + 25, completed_at=BEGAN + 26),
    ]
    tables["run_events"] = packed(first) + packed([SAW[0], SAW[1], *SAW[3:]]) + packed(third)
    tables["usage"] = [
        counted("run_1", 0, 10, 2),
        counted("run_2", 0, 5, 1, is_estimated=True),
        counted("run_2", 1, 20, 3),
        counted("run_3", 0, 7, 1),
    ]
    tables["rate_windows"] = [{"key_id": 7, "used": 1, "started_at": BEGAN + 24}]
    tables["clock"] = [{"now": BEGAN + 100}]
    return Evidence(
        calls=calls,
        faults=[
            Fault(kind="replica.killed", began=BEGAN + 5, ended=BEGAN + 5, replica="replica-1"),
            Fault(kind="database.away", began=BEGAN + 20, ended=BEGAN + 23),
            Fault(kind="replica.terminated", began=BEGAN + 60, ended=BEGAN + 61, status=0),
        ],
        keys=[Key(name="limited", id=7, rate_limit=1)],
        ledger=[
            entry(PLAIN, 10, 2),
            entry(TOLD_AGAIN, 20, 3, is_final=False),
            entry(TOLD_AGAIN, 20, 3),
            entry("late", 7, 1),
        ],
        tables=tables,
        findings=[{"searched": "the logs", "secrets": 3}],
    )


def test_an_honest_history_holds_every_guarantee(honest: Evidence) -> None:
    verdicts = judge(honest)
    assert {verdict.guarantee: (verdict.outcome, verdict.violations) for verdict in verdicts} == {
        name: ("held", []) for name in ("G1", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G12", "G13")
    }


def died_twice(events: list[Seen]) -> Falsify:
    """The one who took the run over died as well, right after its reset; these events are stored of the next."""

    def falsify(evidence: Evidence) -> None:
        follow = {"op": "follow", "status": 200, "run_id": "run_2"}
        evidence.calls[3] = call("one", 6, 7, {**follow, "after": 3, "events": TWICE, "error": "gone"})
        evidence.calls.append(call("one", 8, 9, {**follow, "after": 1026, "events": events, "run_status": "completed"}))
        evidence.tables["runs"][1].update(epoch=3, reserved_seq=3072)
        stored(1, [SAW[0], SAW[1], *events])(evidence)

    return falsify


def test_a_reset_whose_sender_died_in_turn_is_void_by_the_next_one(honest: Evidence) -> None:
    died_twice(THRICE)(honest)
    (verdict,) = [verdict for verdict in judge(honest) if verdict.guarantee == "G7"]
    assert verdict.outcome == "held", verdict.violations


def test_an_empty_history_exercises_nothing() -> None:
    assert {verdict.outcome for verdict in judge(Evidence())} == {"not exercised"}


def restored(position: int, **fields: Any) -> Falsify:
    """A run's row with other columns."""
    return lambda evidence: evidence.tables["runs"][position].update(fields)


def called(position: int, **fields: Any) -> Falsify:
    """A line of the record with other fields."""

    def falsify(evidence: Evidence) -> None:
        evidence.calls[position] = msgspec.structs.replace(evidence.calls[position], **fields)

    return falsify


def spent(position: int, **fields: Any) -> Falsify:
    return lambda evidence: evidence.tables["usage"][position].update(fields)


def stored(run: int, events: list[Seen]) -> Falsify:
    def falsify(evidence: Evidence) -> None:
        evidence.tables["run_events"][run : run + 1] = packed(events)

    return falsify


def without(table: str, position: int) -> Falsify:
    return lambda evidence: evidence.tables[table].pop(position)


def faulted(position: int, **fields: Any) -> Falsify:
    def falsify(evidence: Evidence) -> None:
        evidence.faults[position] = msgspec.structs.replace(evidence.faults[position], **fields)

    return falsify


def found(secret: str, place: str) -> Falsify:
    def falsify(evidence: Evidence) -> None:
        assert evidence.findings is not None
        evidence.findings.append({"found": secret, "in": place})

    return falsify


def another_run_of_the_same_key(evidence: Evidence) -> None:
    evidence.tables["runs"].append({**copy.deepcopy(evidence.tables["runs"][0]), "id": "run_9"})
    evidence.tables["run_events"] += packed([event("run_9", 1, "run.completed")])


KEPT = [SAW[0], SAW[1], *SAW[3:]]
CHANGED = [*KEPT[:-3], event("run_2", 1027, "message.delta", text="B "), *KEPT[-2:]]

DAMAGE: dict[str, tuple[str, str, Falsify]] = {
    "a run that never ends": ("G1", "is still running", restored(2, status="running", completed_at=None)),
    "a run that ends too late": ("G1", "s too late", restored(0, completed_at=BEGAN + 95)),
    "a run whose events tell of no end": ("G1", "its events say []", stored(0, [event("run_1", 1, "run.started")])),
    "a run that ends twice": ("G1", "its events say", stored(0, [event("run_1", 1, "run.failed"), event("run_1", 2, "run.completed")])),
    "an acknowledged run that is gone": ("G1", "no such run", without("runs", 2)),
    "an acknowledged answer that was failed later": ("G1", "acknowledged as completed", restored(2, status="failed")),
    "another answer than the acknowledged one": (
        "G1",
        "acknowledged 'ab', stored 'aX'",
        restored(0, result={"content": "aX", "usage": None}),
    ),
    "another answer than the provider gave": ("G1", "the upstream said", called(0, expected="abc")),
    "other usage than the acknowledged one": ("G1", "acknowledged usage", called(0, usage=usage(prompt=11, completion=2))),
    "a turn that was taken twice": ("G1", "runs for what was asked", another_run_of_the_same_key),
    "two runs for one key": ("G4", "2 runs were made", another_run_of_the_same_key),
    "two answers for one key": ("G4", "its answers differ", called(1, text="aX")),
    "two runs answered for one key": ("G4", "2 runs were answered", called(1, run_id="run_3")),
    "two bodies for one key": ("G4", "two bodies were answered", called(1, message="late", run_id="run_3")),
    "the same body refused": ("G4", "refused as another", called(1, status=422, is_problem=True)),
    "a token too many": ("G5", "reported no such thing", spent(0, prompt_tokens=11)),
    "a token too few": ("G5", "reported, but not counted", spent(0, completion_tokens=1)),
    "a call that is not counted": ("G5", "reported, but not counted", without("usage", 3)),
    "a call counted twice": ("G5", "reported no such thing", lambda it: it.tables["usage"].append(counted("run_3", 1, 7, 1))),
    "an unreported call without a row": ("G5", "but 0 estimated rows", without("usage", 1)),
    "a sum that is not that of its rows": ("G5", "its rows sum up to", spent(1, prompt_tokens=6)),
    "a call of the provider that nobody asked for": ("G5", "no run of the database", lambda it: it.ledger.append(entry("what?", 1, 1))),
    "a report taken for an estimate without a death": ("G5", "reported, but not counted", spent(0, is_estimated=True)),
    "500 while the database is away": ("G6", "not 503", called(4, status=500)),
    "503 that does not say when to come back": ("G6", "without Retry-After", called(4, retry_after=False)),
    "a hang while the database is away": ("G6", "it hung", called(4, ended=BEGAN + 50)),
    "a broken connection while the database is away": ("G6", "though no replica died", called(4, status=0, error="ReadError")),
    "no answers when the database is back": ("G6", "no answer within", called(5, ended=BEGAN + 40)),
    "an event sent twice": ("G7", "do not strictly increase", called(3, events=[SAW[2], *SAW[3:]])),
    "an event that changed": ("G7", "it is stored as", stored(1, CHANGED)),
    "an event that was skipped": ("G7", "never shown", called(3, events=[*SAW[3:5], *SAW[6:]])),
    "a lost event that is no delta": ("G7", "neither stored nor void", stored(1, [*KEPT[:-2], KEPT[-1]])),
    "a lost delta without a reset": ("G7", "neither stored nor void", stored(1, [seen for seen in KEPT if seen.name != "message.reset"])),
    "a lost reset that no other follows": ("G7", "(message.reset) was sent, but is neither", died_twice(THRICE[1:])),
    "too much that is lost": ("G7", "s of deltas are lost", lambda it: (stored(1, [SAW[0], *SAW[3:]])(it), it.faults.pop(1))),
    "a text that is not the answer": ("G7", "its text is", restored(1, result={"content": "a b c", "usage": None})),
    "a stream that ends before its run": ("G7", "it ended with message.completed", called(3, events=SAW[3:-1])),
    "ids with a gap though nobody died": (
        "G7",
        "not contiguous",
        stored(0, [event("run_1", 1, "run.started"), event("run_1", 3, "run.completed")]),
    ),
    "an id above the reserved ones": ("G7", "above the reserved", restored(1, reserved_seq=1028)),
    "a healthy call harmed by a sick upstream": ("G8", "harmed", called(7, status=504)),
    "a stop that takes too long": ("G9", "to stop", faulted(2, ended=BEGAN + 90)),
    "a stop that fails": ("G9", "ended with status 1", faulted(2, status=1)),
    "a defect of ours": ("G10", "a 5xx of ours", called(6, status=500)),
    "an error that explains nothing": ("G10", "no problem document", called(6, is_problem=False)),
    "503 without a reason": ("G10", "though nothing was wrong", called(0, status=503, is_problem=True, run_id="", run_status="")),
    "a connection that breaks without a death": ("G10", "the connection broke", called(0, error="ReadError")),
    "429 that does not say when to come back": ("G10", "429 without Retry-After", called(5, status=429, is_problem=True)),
    "a secret that was found": ("G12", "admin is in the logs", found("admin", "the logs")),
    "a window that counted too many": ("G13", "2 counted in a window of 1", lambda it: it.tables["rate_windows"][0].update(used=2)),
    "one let in above the limit": ("G13", "2 were let in, the limit was 1", lambda it: it.calls.append(it.calls[5])),
    "one let in and not counted": ("G13", "1 were let in, 0 were counted", lambda it: it.tables["rate_windows"][0].update(used=0)),
    "a limit that nobody counted": ("G13", "has no window", without("rate_windows", 0)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(honest: Evidence, name: str) -> None:
    guarantee, said, falsify = DAMAGE[name]
    falsify(honest)
    (verdict,) = [verdict for verdict in judge(honest) if verdict.guarantee == guarantee]
    assert verdict.outcome == "violated"
    assert any(said in violation for violation in verdict.violations), verdict.violations
