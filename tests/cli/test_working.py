"""How supervised work is told in a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.cli.runs import line_of
from pointsman.cli.speaking import Speaker
from pointsman.client import Event

JOB = "0c5ef1aa-0000-0000-0000-000000000000"
DECIDED = {
    "message": 0,
    "text": "A bug.",
    "classification": {
        "classification": "code_fix",
        "risk_level": "high",
        "requires_human_review": True,
        "worker_type": "coding",
        "rationale": "A bug.",
        "jobs": [{}],
    },
}


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("message.completed", DECIDED, "code_fix, high risk, asks a person first, 1 job for coding: A bug."),
        ("job.queued", {"job_id": JOB}, "job 0c5ef1aa is queued"),
        ("job.started", {"job_id": JOB, "target_id": "local", "engine_id": "code_agent"}, "job 0c5ef1aa runs on local with code_agent"),
        ("job.finished", {"job_id": JOB, "status": "failed", "reason": "exit: 3"}, "job 0c5ef1aa failed (exit: 3)"),
        ("approval.requested", {"job_id": JOB, "tool_name": "x", "tool_args": {"a": 1}}, 'job 0c5ef1aa asks for x: {"a": 1}'),
        ("approval.decided", {"status": "approved", "decided_by": "eve"}, "approved by eve"),
    ],
)
def test_each_event_of_the_work_is_a_line(name: str, data: dict[str, Any], line: str) -> None:
    told: list[str] = []
    Speaker(live=False, talk=told.append).take(Event(1, name, data))
    assert told == [line]
    assert line_of(Event(1, name, data)).endswith(line)


def test_what_else_is_said_is_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    Speaker(live=False, talk=told.append).take(Event(1, "message.completed", {"message": 0, "text": "Hello."}))
    assert told == []
    assert capsys.readouterr().out == "Hello.\n"
