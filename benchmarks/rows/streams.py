"""Chats answered as streams, one token after the other; every stream is read to its end and compared to what was sent."""

from __future__ import annotations

from benchmarks.measuring import chats
from benchmarks.results import Row
from benchmarks.stage import Stage
from benchmarks.targets import Ask


def alone(stage: Stage) -> Row:
    """One stream at a time: how long the first token takes."""
    ask = Ask(tokens=20, pause_ms=10, stream=True)
    row = Row("stream-c1", f"stream of {ask.tokens} tokens at 10 ms, one at a time")
    stage.compare(row, chats(ask, requests=min(15, stage.options.requests), connections=1, warm_up=3))
    least = row.sides["floor"]["first_token_p50_ms"]
    row.mark("first token, ms over the floor", lambda side: side["first_token_p50_ms"] - least, "<=", 3.0)
    return row


def two_hundred(stage: Stage) -> Row:
    """Two hundred at the same time."""
    return _paced(stage, 200, share=0.95)


def five_hundred(stage: Stage) -> Row:
    """Five hundred: more than two cores can carry with generator and upstream beside."""
    return _paced(stage, 500, share=0.85)


def claude(stage: Stage) -> Row:
    """Through Anthropic's format."""
    return _provider(stage, "claude", "Anthropic")


def gemini(stage: Stage) -> Row:
    """Through Google's format."""
    return _provider(stage, "gemini", "Google")


def _paced(stage: Stage, streams: int, *, share: float) -> Row:
    row = _at_once(stage, f"streams-{streams}", "streams", streams, Ask(tokens=100, pause_ms=20, stream=True))
    most = row.sides["floor"]["tokens_per_second"]
    row.mark("all whole, tokens/s to the floor's", lambda side: side["tokens_per_second"] / most, ">=", share)
    return row


def _provider(stage: Stage, agent: str, provider: str) -> Row:
    ask = Ask(tokens=100, pause_ms=20, stream=True, agent=agent)
    row = _at_once(stage, f"streams-{agent}", f"{provider} streams", 100, ask, peers=False)
    row.mark("all whole, tokens/s", "tokens_per_second", ">=", 3000)
    return row


def _at_once(stage: Stage, name: str, what: str, streams: int, ask: Ask, *, peers: bool = True) -> Row:
    streams = min(streams, stage.options.requests)
    offered = streams * 1000 / ask.pause_ms
    row = Row(name, f"{streams} {what} at the same time, {ask.tokens} tokens at {ask.pause_ms:g} ms, {offered:,.0f} tokens/s offered")
    stage.compare(row, chats(ask, requests=streams, connections=streams, warm_up=10), None if peers else [stage.floor, stage.gateway])
    return row
