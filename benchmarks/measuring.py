"""A load against several targets, round by round in turn, and what it cost; the median of the rounds counts."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.driver import Driver, LoadFailedError
from benchmarks.jobs import Job, Outcome, Shape
from benchmarks.processes import cpu_seconds
from benchmarks.results import Values
from benchmarks.targets import Ask, Target

_LONGEST_SECONDS = 20.0  # over all rounds of one target; who is slower gets fewer rounds


def _json(_target: Target) -> Shape:
    return "json"


@dataclass(frozen=True)
class Load:
    """So many requests over so many connections; `tokens` is what each of the answers streams."""

    payloads: Callable[[Target], list[str]]
    requests: int
    connections: int
    warm_up: int = 0
    shape: Callable[[Target], Shape] = _json
    status: int = 200
    expect: str = ""
    tokens: int = 0

    def job(self, target: Target, requests: int, *, ramp_seconds: float = 0.0, announce: bool = False) -> Job:
        """The same for one target."""
        return Job(
            ports=target.ports,
            payloads=self.payloads(target),
            requests=requests,
            connections=min(self.connections, requests),
            shape=self.shape(target),
            status=self.status,
            expect=self.expect,
            ramp_seconds=ramp_seconds,
            announce=announce,
        )


def chats(ask: Ask, *, requests: int, connections: int, warm_up: int = 0) -> Load:
    """The same chat again and again."""
    return Load(
        payloads=lambda target: [target.chat(ask)],
        requests=requests,
        connections=connections,
        warm_up=warm_up,
        shape=lambda target: target.shape(ask),
        expect=ask.text,
        tokens=ask.tokens if ask.stream else 0,
    )


@dataclass
class Comparison:
    """Medians by target, and why a peer has none."""

    sides: dict[str, Values] = field(default_factory=dict[str, Values])
    notes: list[str] = field(default_factory=list[str])


def compare(driver: Driver, targets: Iterable[Target], load: Load, *, rounds: int, upstream_pid: int) -> Comparison:
    """Raises LoadFailedError on the first wrong answer, except of a peer."""
    found = Comparison()
    seen: dict[str, list[Values]] = {}
    left = list(targets)
    for number in range(rounds):
        for target in list(left):
            try:
                if number == 0 and load.warm_up:
                    driver.run(load.job(target, load.warm_up))
                seen.setdefault(target.name, []).append(once(driver, target, load, upstream_pid))
            except LoadFailedError as failed:
                if target.share == 1:
                    raise LoadFailedError(f"{target.name}: {failed}") from failed
                found.notes.append(f"{target.name}: {failed}")
                left.remove(target)
            else:
                if sum(each["seconds"] for each in seen[target.name]) > _LONGEST_SECONDS:
                    left.remove(target)
    found.sides = {name: medians(each) for name, each in seen.items()}
    return found


def once(driver: Driver, target: Target, load: Load, upstream_pid: int) -> Values:
    """One round; processor time in milliseconds per request."""
    requests = max(min(load.connections, load.requests), int(load.requests * target.share))
    job = load.job(target, requests)
    before, upstream = target.cost(), cpu_seconds(upstream_pid)
    outcome = driver.run(job)
    spent, upstream = target.cost().since(before), cpu_seconds(upstream_pid) - upstream
    each = 1000 / requests
    costs = {
        "cpu_ms": spent.server,
        **({"database_cpu_ms": spent.database} if target.database_pid else {}),
        "upstream_cpu_ms": upstream,
        "generator_cpu_ms": outcome.cpu_seconds,
    }
    times = {"requests_per_second": requests / outcome.seconds, **latencies("", outcome.latencies)}
    if load.tokens:
        times |= _streamed(outcome, requests * load.tokens)
    return {**times, **{name: value * each for name, value in costs.items()}, "seconds": outcome.seconds}


def _streamed(outcome: Outcome, tokens: int) -> Values:
    return {
        "tokens_per_second": tokens / outcome.seconds,
        **latencies("first_token_", outcome.firsts),
        "open_at_once": outcome.most_open,
    }


def latencies(name: str, measured: list[float]) -> Values:
    """The percentiles that are reported, in milliseconds."""
    return {f"{name}p50_ms": percentile(measured, 0.5), f"{name}p99_ms": percentile(measured, 0.99)}


def medians(rounds: list[Values]) -> Values:
    """The middle of each value, and of how many rounds."""
    return {**{name: statistics.median(each[name] for each in rounds) for name in rounds[0]}, "rounds": len(rounds)}


def percentile(measured: list[float], share: float) -> float:
    """The value below which that share stayed."""
    ordered = sorted(measured)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def progress(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)
