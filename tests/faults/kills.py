"""`kill -9` of a gateway at random moments amid twenty streams, and at every failpoint; others finish what it left.

Two things go on at once, on one database. Rounds of twenty streams on two replicas, three of them those of teams whose leaders give three
tasks at once: one of the two is killed at a random moment, a new one takes its place, and the next round begins while the last is still
being finished. And, one failpoint after the other, a gateway that dies there, with clients who work on it until it does. A stream resumes
by the id it saw last on whichever replica lives, and a turn with an `Idempotency-Key` is repeated there. COUNT is the number of random
kills; each failpoint has a twentieth of that.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.deaths import Deaths, die_at_each
from tests.faults.failing import Cast, dies_at, names, read_on
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage

STREAMS = 20
TEAMS = 3  # of them
PATIENCE = 60.0  # seconds in which a stream must have been read to its end
SAMPLE = (
    "runs.open.in",
    "runs.model_step.after",
    "runs.relay.in",
    "runs.end.in",
    "runs.end.after",
    "deltas.in",
    "idempotency.finish.before",
)


@dataclass
class Kills:
    """What the rounds came to."""

    made: int = 0
    resumed: int = 0
    recoveries: list[float] = field(default_factory=list[float])  # seconds from a kill to the end of a stream that it broke
    unfinished: list[str] = field(default_factory=list[str])


async def perform(stage: Stage) -> Told:
    tools = [{"type": "builtin", "name": "current_time"}]
    agent = await stage.agent(tools=tools)
    careful = await stage.agent(tools=tools, worker_config={"permissions": {"ask": ["current_time"]}})
    members = (await stage.agent(), await stage.agent())
    cast = Cast(agent, careful, await stage.team(*members), members)
    await stage.make_key("limited", rate_limit=1_000_000)
    budget = {"subject_type": "agent", "subject_id": agent, "unit": "tokens", "period": "day", "amount": 10**12}
    await stage.ask("POST", "/v2/budgets", budget)
    kills, deaths = Kills(), Deaths()
    points = _points(stage)
    numbers = itertools.count()

    async def dies(name: str) -> bool:
        return await dies_at(stage, cast, name, f"{name} {next(numbers)}", deaths)

    await asyncio.gather(_random_kills(stage, cast, kills), die_at_each(stage, points, dies, deaths))
    return Told(
        figures={
            "random kills": kills.made,
            "streams in them": kills.made * STREAMS,
            "streams broken and resumed": kills.resumed,
            "slowest end of a stream after a kill, s": max(kills.recoveries, default=0.0),
            "failpoints": len(set(points)),
            "deaths at failpoints": f"{deaths.at.total()} of {len(points)}",
        },
        charts={
            "recovery": charts.histogram("Streams that a kill broke", kills.recoveries, x="seconds from kill to end", y="streams"),
            "failpoints": deaths.chart(names()),
        },
        failures=[*kills.unfinished, *deaths.missed, *deaths.unanswered, *_cut_short(stage, kills)],
    )


def _points(stage: Stage) -> list[str]:
    if stage.options.sample:
        return list(SAMPLE)
    points = names() * max(1, stage.options.count // 20)
    stage.chance.shuffle(points)
    return points


def _cut_short(stage: Stage, kills: Kills) -> Iterator[str]:
    """What the duration did not suffice for."""
    if kills.made < stage.options.count:
        yield f"only {kills.made} of {stage.options.count} kills within {stage.options.duration:g} s"


async def _random_kills(stage: Stage, cast: Cast, kills: Kills) -> None:
    audiences: list[asyncio.Task[None]] = []
    for number in range(stage.options.count):
        if stage.time_left < 0:
            break
        audiences.append(asyncio.create_task(_audience(stage, cast, number, kills)))
        await asyncio.sleep(stage.chance.uniform(0.05, 1.6))
        await stage.kill(stage.any_replica())
        await stage.start()
        await asyncio.gather(*audiences[-2:-1])  # at most two rounds at once
        kills.made += 1
        if kills.made % 10 == 0:
            stage.options.say(f"{kills.made} kills, {kills.resumed} streams resumed")
    await asyncio.gather(*audiences)


async def _audience(stage: Stage, cast: Cast, number: int, kills: Kills) -> None:
    names = [f"round {number} stream {place}" for place in range(STREAMS)]
    streams = (_stream(stage, stage.client(f"client of {name}"), cast, name, kills, team=place < TEAMS) for place, name in enumerate(names))
    await asyncio.gather(*streams)


async def _stream(stage: Stage, client: Client, cast: Cast, name: str, kills: Kills, *, team: bool) -> None:
    tokens = stage.chance.randrange(30, 60)
    marks = f"[[n={tokens} itl=20]]"
    if team:
        marks += cast.tasks(name, tokens)
    elif stage.chance.random() < 0.3:
        marks += " [[tool=current_time]]"
    expected = "".join(f"tok{i} " for i in range(tokens))
    call = await client.stream(cast.team if team else cast.agent, f"{name} {marks}", expected=expected, team=team)
    if call.run_status or not call.run_id:
        return
    broke = time.time()
    call = await read_on(client, call, PATIENCE)
    if not call.run_status:
        kills.unfinished.append(f"{name}: run {call.run_id} was not read to its end within {PATIENCE:g} s")
        return
    kills.resumed += 1
    kills.recoveries.append(time.time() - broke)


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("kills", __doc__ or "", count=200, duration=1500, sample=6),
            perform,
            title="Gateways killed amid twenty streams, and at every failpoint",
            required=("G1", "G4", "G5", "G7", "G10", "G13"),
        )
    )
