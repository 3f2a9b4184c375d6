"""Chats answered as streams, one token after the other; every stream is read to its end and compared to what was sent."""

from __future__ import annotations

from benchmarks.measuring import Load, compare
from benchmarks.results import Row
from benchmarks.stage import Stage
from benchmarks.targets import Ask


def alone(stage: Stage) -> Row:
    """One stream at a time: how long the first token takes."""
    ask = Ask(tokens=20, pause_ms=10, stream=True)
    row = Row("stream-c1", f"stream of {ask.tokens} tokens at 10 ms, one at a time")
    load = Load(ask, min(20, stage.options.requests), connections=1, warm_up=3)
    row.sides = compare(stage.driver, stage.sides, load, rounds=stage.options.rounds, upstream_pid=stage.upstream.pid)
    over = row.sides["pointsman"]["first_token_p50_ms"] - row.sides["floor"]["first_token_p50_ms"]
    row.mark("first token, ms over the floor", over, "<=", 3.0)
    return row


def two_hundred(stage: Stage) -> Row:
    """Two hundred at the same time."""
    return _paced(stage, 200, share=0.95)


def five_hundred(stage: Stage) -> Row:
    """Five hundred: more than two cores can carry with generator and upstream beside."""
    return _paced(stage, 500, share=0.85)


def _paced(stage: Stage, streams: int, *, share: float) -> Row:
    ask = Ask(tokens=100, pause_ms=20, stream=True)
    streams = min(streams, stage.options.requests)
    row = Row(f"streams-{streams}", f"{streams} streams at the same time, {ask.tokens} tokens at 20 ms, {streams * 50:,} tokens/s offered")
    load = Load(ask, streams, streams, warm_up=10)
    row.sides = compare(stage.driver, stage.sides, load, rounds=stage.options.rounds, upstream_pid=stage.upstream.pid)
    ours, floor = (row.sides[name]["tokens_per_second"] for name in ("pointsman", "floor"))
    row.mark("tokens/s to the floor's", ours / floor, ">=", share)
    return row
