"""Other calls than chats: a turn with tools, a read, a write."""

from __future__ import annotations

import dataclasses
import secrets

from benchmarks.jobs import NUMBER
from benchmarks.measuring import Load, chats
from benchmarks.results import Row
from benchmarks.stage import Stage
from benchmarks.targets import Ask, Gateway, Target

_CALL = " [[tool=current_time]]"


def tools(stage: Stage) -> Row:
    """A turn whose model calls two tools, beside a turn that calls none."""
    row = Row("tools", "chat JSON, 50 tokens, connections: 8, a turn with two tool calls")
    asks = {
        "plain": Ask(tokens=50),
        "two calls at once": Ask(tokens=50, agent="tools", markers=_CALL * 2),
        "one after the other": Ask(tokens=50, agent="tools", markers=f"{_CALL} [[rounds=2]]"),
    }
    requests = max(10, stage.options.requests // 4)
    for name, ask in asks.items():
        stage.compare(row, chats(ask, requests=requests, connections=8, warm_up=20), [dataclasses.replace(stage.gateway, name=name)])
    plain, _, sequence = (row.sides[name]["cpu_ms"] for name in asks)
    row.mark("CPU to a plain turn's", lambda side: side["cpu_ms"] / plain, "<=", 3.0, side="two calls at once")
    row.notes.append(
        f"Two calls at once are two model calls; one after the other is three: {sequence / plain:.2f} times a plain turn's CPU."
    )
    return row


def read_agent(stage: Stage) -> Row:
    """Read one agent; the floor passes a small document on."""
    row = Row("read-agent", "GET one agent, connections: 32")

    def payloads(target: Target) -> list[str]:
        return [target.request("GET", "/v2/agents/bench" if isinstance(target, Gateway) else "/v1/models")]

    load = Load(payloads, requests=stage.options.requests * 3, connections=32, warm_up=64, expect='"id":')
    stage.compare(row, load, [stage.floor, stage.gateway])
    row.mark("requests/s", "requests_per_second", ">=", 3000)
    return row


def create_prompt(stage: Stage) -> Row:
    """Create a prompt; no floor, which keeps nothing."""
    row = Row("create-prompt", "POST a prompt, connections: 8")

    def payloads(target: Target) -> list[str]:
        body = {"id": f"p{secrets.token_hex(4)}-{NUMBER}", "name": "Bench", "template": "Answer {question} in a sentence."}
        return [target.request("POST", "/v2/prompts", body)]

    load = Load(payloads, requests=stage.options.requests, connections=8, warm_up=16, status=201, expect='"id":')
    stage.compare(row, load, [stage.gateway])
    row.mark("requests/s", "requests_per_second", ">=", 500)
    return row
