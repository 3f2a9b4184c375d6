"""A load against several targets, round by round in turn, and what it cost; the median of the rounds counts."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.driver import Driver
from benchmarks.jobs import Job, Outcome
from benchmarks.processes import cpu_seconds
from benchmarks.targets import Ask, Target

Values = dict[str, float]


@dataclass(frozen=True)
class Load:
    """So many chats over so many connections."""

    ask: Ask
    requests: int
    connections: int
    warm_up: int = 0

    def job(self, target: Target, requests: int) -> Job:
        ask = self.ask
        return Job(
            port=target.port,
            payloads=[target.chat(ask)],
            requests=requests,
            connections=min(self.connections, requests),
            shape=target.shape if ask.stream else "json",
            expect=ask.text,
        )


def compare(driver: Driver, targets: Iterable[Target], load: Load, *, rounds: int, upstream_pid: int) -> dict[str, Values]:
    """Medians for each target by name. Raises LoadFailedError on the first wrong answer."""
    targets = list(targets)
    for target in targets:
        if load.warm_up:
            driver.run(load.job(target, load.warm_up))
    seen: dict[str, list[Values]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            before, upstream = target.cost(), cpu_seconds(upstream_pid)
            outcome = driver.run(load.job(target, load.requests))
            spent = target.cost() - before
            upstream = cpu_seconds(upstream_pid) - upstream
            seen[target.name].append(values(load, outcome, spent.server, spent.database, upstream))
    return {name: medians(each) for name, each in seen.items()}


def values(load: Load, outcome: Outcome, server: float, database: float, upstream: float) -> Values:
    """What one round says; processor time in milliseconds per request."""
    each = 1000 / load.requests
    found = {
        "requests_per_second": load.requests / outcome.seconds,
        "p50_ms": percentile(outcome.latencies, 0.5),
        "p99_ms": percentile(outcome.latencies, 0.99),
        "cpu_ms": server * each,
        "database_cpu_ms": database * each,
        "upstream_cpu_ms": upstream * each,
        "generator_cpu_ms": outcome.cpu_seconds * each,
    }
    if outcome.firsts:
        found["tokens_per_second"] = load.requests * load.ask.tokens / outcome.seconds
        found["first_token_p50_ms"] = percentile(outcome.firsts, 0.5)
        found["first_token_p99_ms"] = percentile(outcome.firsts, 0.99)
        found["open_at_once"] = outcome.most_open
    return found


def medians(rounds: list[Values]) -> Values:
    """The middle of each value."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def percentile(measured: list[float], share: float) -> float:
    """The value below which that share stayed."""
    ordered = sorted(measured)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def progress(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)
