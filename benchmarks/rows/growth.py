"""How the cost of a chat grows with what the database holds, and what a second process on the same cores brings."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from benchmarks.gateways import agent, call, limited_key, start_replica
from benchmarks.jobs import NUMBER
from benchmarks.measuring import Load, chats
from benchmarks.results import Row
from benchmarks.stage import Stage
from benchmarks.targets import Ask, Gateway, Target

_ASK = Ask(tokens=50)
_FEW = 10
_WARM_UP = 200  # a process and a database that have just been started cost more


def sessions(stage: Stage) -> Row:
    """Chats, each in a new session, with few and with many sessions there."""
    many = stage.options.requests * 5
    row = Row("growth-sessions", f"chat JSON, connections: 8, each in a new session, with a few hundred and with {many:,} there")
    gateway = stage.other("growing")
    load = chats(_ASK, requests=max(10, stage.options.requests // 10), connections=8, warm_up=_WARM_UP)
    stage.compare(row, load, [dataclasses.replace(gateway, name="few sessions")])
    before = gateway.proportional_kb()
    stage.driver.run(chats(_ASK, requests=many, connections=32).job(gateway, many))
    per_session = (gateway.proportional_kb() - before) / many
    stage.compare(row, load, [dataclasses.replace(gateway, name=f"{many:,} sessions")])
    row.notes.append(
        f"The process grew by {per_session:.2f} KB per session meanwhile. Each measurement adds a few hundred sessions itself."
    )
    return _compared(row)


def agents(stage: Stage) -> Row:
    """Chats with one agent after the other."""
    many = stage.options.requests * 5 // 2
    row = Row("growth-agents", f"chat JSON, connections: 8, each with the next of {_FEW} and of {many:,} agents")
    gateway = stage.other("growing")
    _make(stage, gateway, "/v2/agents", agent(f"grown-{NUMBER}"), many)
    names = [f"grown-{number:08d}" for number in range(many)]
    _shuffled(stage, names)

    def among(count: int) -> Load:
        return _rotating(stage, lambda target: [target.chat(dataclasses.replace(_ASK, agent=name)) for name in names[:count]])

    for count in (_FEW, many):
        stage.compare(row, among(count), [dataclasses.replace(gateway, name=f"{count:,} agents")])
    return _compared(row)


def keys(stage: Stage) -> Row:
    """Chats with one key after the other."""
    many = stage.options.requests * 5 // 2
    row = Row("growth-keys", f"chat JSON, connections: 8, each with the next of {_FEW} and of {many:,} keys")
    gateway = stage.other("growing")
    texts = [call(gateway, "/v2/keys", limited_key(f"key {number}"))["api_key"] for number in range(many)]
    _shuffled(stage, texts)

    def among(count: int) -> Load:
        return _rotating(stage, lambda target: [dataclasses.replace(target, key=text).chat(_ASK) for text in texts[:count]])

    for count in (_FEW, many):
        stage.compare(row, among(count), [dataclasses.replace(gateway, name=f"{count:,} keys")])
    return _compared(row)


def replicas(stage: Stage) -> Row:
    """One process, then two on the same database and the same cores."""
    row = Row("growth-replicas", "chat JSON, connections: 32, by one process and by two on the same cores")
    gateway = stage.other("growing")
    load = chats(_ASK, requests=stage.options.requests, connections=32, warm_up=_WARM_UP)
    stage.compare(row, load, [dataclasses.replace(gateway, name="1 process")])
    with start_replica(stage.upstream, stage.folder, gateway) as both:
        both.settle()
        stage.compare(row, load, [both])
    return _compared(row)


def _rotating(stage: Stage, payloads: Callable[[Target], list[str]]) -> Load:
    return Load(payloads, requests=stage.options.requests, connections=8, warm_up=_WARM_UP, expect=_ASK.text)


def _shuffled(stage: Stage, items: list[str]) -> None:
    random.Random(stage.options.seed).shuffle(items)


def _make(stage: Stage, gateway: Gateway, path: str, body: dict[str, object], count: int) -> None:
    payload = gateway.request("POST", path, body, key=gateway.admin_key)
    stage.driver.run(Load(lambda _target: [payload], requests=count, connections=8, status=201).job(gateway, count))


def _compared(row: Row) -> Row:
    few, many = list(row.sides.values())[:2]
    costs = [side["cpu_ms"] + side["database_cpu_ms"] for side in (few, many)]
    row.notes.append(f"CPU of gateway and database per request: {costs[1] / costs[0]:.2f} times.")
    return row
