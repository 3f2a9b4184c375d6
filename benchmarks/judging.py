"""Whether an answer is the one that was asked for, to the last token."""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.jobs import Job, Shape

_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


class _Stream(NamedTuple):
    first: bytes  # in the piece that holds the first token
    texts: re.Pattern[bytes]
    end: bytes


_STREAMS: dict[Shape, _Stream] = {
    "events": _Stream(
        b"event: message.delta", re.compile(rb'\nevent: message\.delta\ndata: .*?"text":"([^"]*)"'), b"\nevent: run.completed\n"
    ),
    "openai": _Stream(b'"content":"tok', re.compile(rb'"content":"([^"]*)"'), b"data: [DONE]"),
    "anthropic": _Stream(b'"text":"tok', re.compile(rb'"text_delta","text":"([^"]*)"'), b'"message_stop"'),
    "google": _Stream(b'"text":"tok', re.compile(rb'"text":"([^"]*)"'), b'"finishReason":"STOP"'),
}


def first_token(shape: Shape) -> bytes:
    """What the piece with the first token holds; empty where an answer comes in one piece."""
    return _STREAMS[shape].first if shape in _STREAMS else b""


def what_is_wrong(job: Job, status: int, body: bytes) -> str:
    """Why this is not the answer that was asked for; empty if it is."""
    if status != job.status:
        return f"status {status}: {_shown(body[:300])}"
    if job.shape == "json":
        return "" if job.expect.encode() in body else f"not the expected body: {_shown(body[:300])}"
    stream = _STREAMS[job.shape]
    text = b"".join(stream.texts.findall(body))
    if text != job.expect.encode():
        return f"not the whole text, which ends: {_shown(text[-100:] or body[-300:])}"
    if stream.end not in body:
        return f"no end of the stream: {_shown(body[-300:])}"
    ids = [int(number) for number in _ID.findall(body)]
    return "event ids with a gap" if ids != list(range(1, len(ids) + 1)) else ""


def _shown(body: bytes) -> str:
    return body.decode(errors="replace")
