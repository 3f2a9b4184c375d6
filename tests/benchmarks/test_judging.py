"""A benchmark that counts wrong answers as answers measures nothing: each kind of wrong answer is told from a right one."""

from __future__ import annotations

import pytest
from benchmarks.jobs import Job, Shape
from benchmarks.judging import what_is_wrong

OURS = (
    b'id: 1\nevent: run.started\ndata: {"run_id":"r"}\n\n'
    b'id: 2\nevent: message.delta\ndata: {"message":0,"text":"tok0 "}\n\n'
    b'id: 3\nevent: message.delta\ndata: {"message":0,"text":"tok1 tok2 "}\n\n'
    b'id: 4\nevent: run.completed\ndata: {"content":"tok0 tok1 tok2 "}\n\n'
)
OPENAI = b'data: {"choices":[{"delta":{"content":"tok0 tok1 "}}]}\n\ndata: {"choices":[{"delta":{"content":"tok2 "}}]}\n\ndata: [DONE]\n\n'


def job(shape: Shape) -> Job:
    return Job([1], ["GET /"], requests=1, connections=1, shape=shape, expect="tok0 tok1 tok2 ")


@pytest.mark.parametrize(("shape", "body"), [("events", OURS), ("openai", OPENAI), ("json", b'{"content":"tok0 tok1 tok2 "}')])
def test_a_whole_answer_is_right(shape: Shape, body: bytes) -> None:
    assert what_is_wrong(job(shape), 200, body) == ""


@pytest.mark.parametrize(
    ("shape", "body", "reason"),
    [
        ("events", OURS.replace(b"tok1 ", b""), "not the whole text"),
        ("events", OURS.replace(b"tok1 tok2", b"tok2 tok1"), "not the whole text"),
        ("events", OURS.replace(b"id: 3", b"id: 5"), "gap"),
        ("events", OURS.replace(b"run.completed", b"run.failed"), "no end"),
        ("openai", OPENAI.replace(b"data: [DONE]\n\n", b""), "no end"),
        ("openai", OPENAI.replace(b"tok2 ", b""), "not the whole text"),
        ("json", b'{"content":"tok0 tok1 "}', "not the expected body"),
    ],
)
def test_an_answer_that_lacks_something_is_wrong(shape: Shape, body: bytes, reason: str) -> None:
    assert reason in what_is_wrong(job(shape), 200, body)


def test_another_status_is_wrong_whatever_the_body() -> None:
    assert what_is_wrong(job("events"), 503, OURS).startswith("status 503")
