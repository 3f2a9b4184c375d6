"""Breakers: opened by failures in a row, tried by one, closed by its success; the same for every process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from pointsman.breakers.breaking import Breakers, Subject
from pointsman.breakers.errors import CircuitOpen
from pointsman.kit.db import Database
from pointsman.settings import BreakerSettings

TARGET = Subject("target", "far")
ENGINE = Subject("engine", "remote")
SETTINGS = BreakerSettings(failures=3, cool_down=timedelta(seconds=0.4), longest=timedelta(seconds=3))


class Silence:
    def subscribe(self, topic: str, callback: Callable[[str | None], None], /) -> None:
        """Nothing is ever announced: what is known ages out."""


def fleet(db: Database, size: int = 1) -> list[Breakers]:
    return [Breakers(db, Silence(), SETTINGS) for _ in range(size)]


async def broken(breakers: Breakers, subject: Subject = TARGET) -> CircuitOpen:
    for number in range(SETTINGS.failures - 1):
        assert await breakers.failed(subject, f"job {number}", "target-failed: it is away") is None
    problem = await breakers.failed(subject, "the last straw", "target-failed: it is away")
    assert problem is not None
    return problem


async def test_failures_in_a_row_open_it_and_whoever_comes_is_told_until_when(db: Database) -> None:
    (breakers,) = fleet(db)
    problem = await broken(breakers)
    with pytest.raises(CircuitOpen) as caught:
        await breakers.enter([ENGINE, TARGET], "next")
    assert caught.value.retry_at == problem.retry_at
    assert "target:far" in caught.value.detail
    assert "it is away" in caught.value.detail
    assert breakers.is_shut(TARGET)
    assert not breakers.is_shut(ENGINE)


async def test_a_success_in_between_begins_the_count_anew(db: Database) -> None:
    (breakers,) = fleet(db)
    for number in range(SETTINGS.failures * 2):
        assert await breakers.failed(TARGET, f"job {number}", "away") is None
        await breakers.succeeded([TARGET], f"job {number}")
    await breakers.enter([TARGET], "next")


async def test_one_of_a_whole_fleet_tries_it_when_the_time_has_come(db: Database) -> None:
    breakers = fleet(db, 3)
    await broken(breakers[0])
    await asyncio.sleep(0.45)
    tried = await asyncio.gather(*(breakers[number % 3].enter([TARGET], f"job {number}") for number in range(30)), return_exceptions=True)
    assert sum(one is None for one in tried) == 1
    assert all(one is None or isinstance(one, CircuitOpen) for one in tried)


async def test_the_probe_closes_it_for_all_and_nobody_else_does(db: Database) -> None:
    (breakers,) = fleet(db)
    await broken(breakers)
    await breakers.succeeded([TARGET], "one that began before")
    with pytest.raises(CircuitOpen):
        await breakers.enter([TARGET], "next")
    await asyncio.sleep(0.45)
    await breakers.enter([TARGET], "probe")
    await breakers.enter([TARGET], "probe")  # its own second try is the same probe
    await breakers.succeeded([TARGET], "another")
    with pytest.raises(CircuitOpen):
        await breakers.enter([TARGET], "next")
    await breakers.succeeded([TARGET], "probe")
    await fleet(db)[0].enter([TARGET], "next")


async def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_longest(db: Database) -> None:
    (breakers,) = fleet(db)
    await broken(breakers)
    waits: list[float] = []
    for number in range(5):
        async with db.transaction() as connection:
            await connection.execute("UPDATE circuit_breakers SET retry_at = clock_timestamp()")
        await breakers.enter([TARGET], f"probe {number}")
        assert await breakers.failed(TARGET, f"probe {number}", "still away") is not None
        async with db.connection() as connection:
            waits.append(float(await connection.fetchval("SELECT extract(epoch FROM retry_at - updated_at) FROM circuit_breakers")))
    assert waits == pytest.approx([0.8, 1.6, 3.0, 3.0, 3.0], abs=0.01)


async def test_a_probe_that_was_lost_is_followed_by_another(db: Database) -> None:
    (breakers,) = fleet(db)
    await broken(breakers)
    await asyncio.sleep(0.45)
    await breakers.enter([TARGET], "lost with its worker")
    with pytest.raises(CircuitOpen):
        await breakers.enter([TARGET], "next")
    await asyncio.sleep(0.45)
    await breakers.enter([TARGET], "next")


async def test_what_is_shut_keeps_the_rest_from_being_probed(db: Database) -> None:
    (breakers,) = fleet(db)
    await broken(breakers, ENGINE)
    await asyncio.sleep(0.45)
    await broken(breakers, TARGET)
    with pytest.raises(CircuitOpen):
        await breakers.enter([ENGINE, TARGET], "one")
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT state FROM circuit_breakers WHERE id = 'engine:remote'") == "open"
