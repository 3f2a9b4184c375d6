"""An event of a run: one vocabulary, numbered, whose bytes never change once they were sent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

Verbosity = Literal["full", "events", "result"]

RUN_STARTED = "run.started"
MESSAGE_DELTA = "message.delta"
MESSAGE_COMPLETED = "message.completed"
MESSAGE_RESET = "message.reset"
REASONING_DELTA = "reasoning.delta"
TOOL_CALLED = "tool.called"
TOOL_COMPLETED = "tool.completed"
APPROVAL_REQUESTED = "approval.requested"
APPROVAL_DECIDED = "approval.decided"
USAGE_RECORDED = "usage.recorded"
RUN_COMPLETED = "run.completed"
RUN_FAILED = "run.failed"
RUN_CANCELLED = "run.cancelled"

TERMINAL = frozenset({RUN_COMPLETED, RUN_FAILED, RUN_CANCELLED})
_QUIET = frozenset({REASONING_DELTA, "job.output"})


class Event(NamedTuple):
    """`data` is the JSON object that goes out, with run_id, seq and at inside."""

    seq: int
    type: str
    data: bytes


_stored = msgspec.json.Decoder(list[tuple[int, str, msgspec.Raw]])


def encode(run_id: str, seq: int, type_: str, payload: dict[str, Any]) -> Event:
    """Number an event and turn it into the bytes that every reader will see."""
    at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")[:-6]
    head = b'{"run_id":"%s","seq":%d,"at":"%sZ"' % (run_id.encode(), seq, at.encode())
    body = encode_json(payload)
    return Event(seq, type_, head + (b"}" if body == b"{}" else b"," + body[1:]))


def encode_json(value: Any) -> bytes:
    """JSON; a lone surrogate, which some providers send when they cut an emoji in two, becomes a replacement character."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(value))


def pack(events: Sequence[Event]) -> str:
    """The events as the text of one stored row."""
    return (b"[" + b",".join(b'[%d,"%s",%s]' % (seq, type_.encode(), data) for seq, type_, data in events) + b"]").decode()


def unpack(row: str) -> list[Event]:
    """The events of a stored row, byte for byte as they were sent."""
    return [Event(seq, type_, bytes(data)) for seq, type_, data in _stored.decode(row)]


def visible(event: Event, verbosity: Verbosity) -> bool:
    """Whether a reader with this verbosity is shown the event."""
    if verbosity == "full":
        return True
    if verbosity == "events":
        return event.type not in _QUIET
    return event.type == RUN_STARTED or event.type in TERMINAL


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, msgspec.Struct):
        return _without_surrogates(msgspec.to_builtins(value))
    return value
