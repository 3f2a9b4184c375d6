"""Streams that are open: what each of them holds in memory, and whether the process still answers beside a thousand."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from benchmarks.driver import start_driver
from benchmarks.gateways import prepare, start_gateway
from benchmarks.jobs import Job
from benchmarks.measuring import chats, latencies, medians
from benchmarks.results import Row, Values
from benchmarks.stage import Stage, start_floor
from benchmarks.targets import Ask, Gateway, Target


def memory(stage: Stage) -> Row:
    """Memory of an open stream: a fresh process each round, because one that had many keeps what they needed."""
    streams = min(400, stage.options.requests)
    row = Row("stream-memory", f"memory of an open stream, {streams} held after a first one")
    rounds = range(stage.options.rounds)
    row.sides["floor"] = medians([_held(stage, start_floor(stage.upstream, stage.folder), streams) for _ in rounds])
    row.sides["pointsman"] = medians(
        [
            _held(stage, start_gateway(stage.upstream, stage.folder, stage.folder / f"held-{number}", providers=["OPENAI"]), streams)
            for number in rounds
        ]
    )
    row.mark("KB per open stream", "kb_per_stream", "<=", 60)
    return row


def _held(stage: Stage, starting: AbstractContextManager[Target], streams: int) -> Values:
    with starting as target:
        if isinstance(target, Gateway):
            prepare(target, agents=["bench"])
            target.settle()
        stage.driver.run(chats(Ask(tokens=50), requests=100, connections=8).job(target, 100))
        stage.driver.run(chats(Ask(tokens=5, pause_ms=5, stream=True), requests=1, connections=1).job(target, 1))
        held = chats(Ask(tokens=2, pause_ms=8000, stream=True), requests=streams, connections=streams)
        before, resident = target.proportional_kb(), target.resident_mb()
        stage.driver.start(held.job(target, streams, announce=True))
        stage.driver.wait_open()
        time.sleep(1)
        grown, after = target.proportional_kb() - before, target.resident_mb()
        stage.driver.outcome()
    return {"kb_per_stream": grown / streams, "resident_mb_before": resident, "resident_mb_open": after}


def a_thousand(stage: Stage) -> Row:
    """A thousand open at once while something else asks whether the process lives, every 5 ms."""
    streams = min(1000, stage.options.requests)
    row = Row("streams-1000", f"{streams:,} streams open at once, 2 tokens/s each, begun over 4 s, while /livez is asked every 5 ms")
    sides: list[Target] = [stage.floor, stage.gateway]
    rounds = [{target.name: _beside(stage, target, streams) for target in sides} for _ in range(stage.options.rounds)]
    row.sides = {target.name: medians([each[target.name] for each in rounds]) for target in sides}
    row.mark("open at once, all whole", "open_at_once", ">=", streams)
    row.mark("/livez p99 ms", "livez_p99_ms", "<", 50)
    return row


def _beside(stage: Stage, target: Target, streams: int) -> Values:
    load = chats(Ask(tokens=12, pause_ms=500, stream=True), requests=streams, connections=streams)
    alive = Job(target.ports, [target.request("GET", "/livez")], requests=1_000_000, connections=1, interval_ms=5)
    with start_driver() as probe:
        before = target.cost()
        probe.start(alive)
        outcome = stage.driver.run(load.job(target, streams, ramp_seconds=4))
        lives = probe.stop()
    spent = target.cost().since(before)
    return {
        **latencies("livez_", lives.latencies),
        "livez_max_ms": max(lives.latencies),
        **latencies("first_token_", outcome.firsts),
        "open_at_once": outcome.most_open,
        "cpu_ms": spent.server / streams * 1000,
        "database_cpu_ms": spent.database / streams * 1000,
        "resident_mb": target.resident_mb(),
    }
