"""The load generator against the fake upstream: what it counts as answered was answered whole."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from benchmarks.driver import Driver, LoadFailedError, start_driver
from benchmarks.jobs import Outcome
from benchmarks.measuring import chats
from benchmarks.targets import Ask, Target
from tests.fakes.upstream import Upstream, start_upstream


@pytest.fixture(scope="module")
def upstream() -> Generator[Upstream]:
    with start_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def driver() -> Generator[Driver]:
    with start_driver() as running:
        yield running


def load(driver: Driver, upstream: Upstream, ask: Ask, *, requests: int, connections: int) -> Outcome:
    target = Target("upstream", [upstream.port], [upstream.pid])
    return driver.run(chats(ask, requests=requests, connections=connections).job(target, requests))


@pytest.mark.parametrize("agent", ["bench", "claude", "gemini"])
def test_streams_of_every_provider_are_read_to_their_end(driver: Driver, upstream: Upstream, agent: str) -> None:
    outcome = load(driver, upstream, Ask(tokens=5, pause_ms=2, stream=True, agent=agent), requests=6, connections=3)
    assert (len(outcome.latencies), len(outcome.firsts), outcome.most_open) == (6, 6, 3)


def test_each_request_is_sent_once(driver: Driver, upstream: Upstream) -> None:
    upstream.reset()
    outcome = load(driver, upstream, Ask(tokens=5), requests=25, connections=4)
    assert len(outcome.latencies) == 25
    assert len(upstream.ledger()) == 25


@pytest.mark.parametrize("fault", ["truncate;after=2", "cut;after=2", "close;after=2", "500", "html"])
def test_a_broken_answer_fails_the_load(driver: Driver, upstream: Upstream, fault: str) -> None:
    with pytest.raises(LoadFailedError):
        load(driver, upstream, Ask(tokens=5, pause_ms=1, stream=True, markers=f" [[fault={fault}]]"), requests=1, connections=1)


def test_a_load_after_a_failed_one_is_judged_by_itself(driver: Driver, upstream: Upstream) -> None:
    with pytest.raises(LoadFailedError):
        load(driver, upstream, Ask(tokens=5, markers=" [[fault=500]]"), requests=3, connections=1)
    assert load(driver, upstream, Ask(tokens=5), requests=3, connections=1).failures == {}
