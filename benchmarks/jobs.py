"""What the load generator is told to do and what it tells back: one line of JSON each."""

from __future__ import annotations

from typing import Literal

import msgspec

# Digits in a payload that are replaced by the number of the request, so that each can name something new.
NUMBER = "@@@@@@@@"
# What an answer must be: JSON that holds the expected text, our event stream, or a stream as OpenAI, Anthropic or Google have it.
Shape = Literal["json", "events", "openai", "anthropic", "google"]


class Job(msgspec.Struct, frozen=True):
    """Requests over some connections; each connection sends its next request when it has its answer."""

    ports: list[int]  # over which the connections are spread
    payloads: list[str]  # whole requests, head and body, taken in turn
    requests: int
    connections: int
    shape: Shape = "json"
    status: int = 200
    expect: str = ""  # text of an answer: somewhere in JSON, exactly all of it in a stream
    ramp_seconds: float = 0.0  # over which the connections begin
    interval_ms: float = 0.0  # the least time from request to request of one connection
    announce: bool = False  # say when each connection has its first token


class Outcome(msgspec.Struct, frozen=True):
    """What was seen; times in milliseconds from the request's first byte."""

    seconds: float
    latencies: list[float]
    firsts: list[float]
    failures: dict[str, int]
    most_open: int  # answers that had begun and not ended, at most, at the same time
    cpu_seconds: float  # of the generator
