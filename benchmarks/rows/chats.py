"""Chats answered as JSON, 50 tokens, from an upstream without delay."""

from __future__ import annotations

from benchmarks.measuring import chats
from benchmarks.results import Row
from benchmarks.stage import Stage
from benchmarks.targets import Ask

_ASK = Ask(tokens=50)


def alone(stage: Stage) -> Row:
    """One connection: how long a chat takes."""
    row = _measured(stage, "chat-c1", connections=1, requests=max(20, stage.options.requests // 5))
    row.mark("p50 ms", "p50_ms", "<=", 3.0)
    return row


def at_8(stage: Stage) -> Row:
    """Eight connections: how many a process answers."""
    return _marked(_measured(stage, "chat-c8", connections=8, requests=stage.options.requests))


def at_32(stage: Stage) -> Row:
    """Thirty-two connections."""
    return _marked(_measured(stage, "chat-c32", connections=32, requests=stage.options.requests))


def _measured(stage: Stage, name: str, *, connections: int, requests: int) -> Row:
    row = Row(name, f"chat JSON, {_ASK.tokens} tokens, connections: {connections}")
    stage.compare(row, chats(_ASK, requests=requests, connections=connections, warm_up=min(requests, 10 + 10 * connections)))
    return row


def _marked(row: Row) -> Row:
    row.mark("requests/s", "requests_per_second", ">=", 800)
    row.mark("CPU ms per request", "cpu_ms", "<=", 1.2)
    return row
