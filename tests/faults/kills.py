"""`kill -9` of a gateway at random moments amid twenty streams; the survivor finishes what it left, a new one takes its place.

Each round starts twenty streams on two replicas, kills one of the two at a random moment, starts a replacement at once and begins the
next round while the survivor still finishes what the dead one left. A stream resumes by the id it saw last, on whichever replica lives.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field

from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call
from tests.faults.report import Told
from tests.faults.stage import Stage

STREAMS = 20
PATIENCE = 60.0  # seconds in which a stream must have been read to its end


@dataclass
class Kills:
    """What the rounds came to."""

    resumed: int = 0
    recoveries: list[float] = field(default_factory=list[float])  # seconds from a kill to the end of a stream that it broke
    unfinished: list[str] = field(default_factory=list[str])


async def perform(stage: Stage) -> Told:
    agent = await stage.agent(tools=[{"type": "builtin", "name": "current_time"}])
    kills, rounds = Kills(), 0
    audiences: list[asyncio.Task[None]] = []
    for number in range(stage.options.count):
        if stage.time_left < 0:
            break
        audiences.append(asyncio.create_task(_audience(stage, agent, number, kills)))
        await asyncio.sleep(stage.chance.uniform(0.05, 1.6))
        await stage.kill(stage.any_replica())
        await stage.start()
        await asyncio.gather(*audiences[:-1])  # at most two rounds at once
        rounds += 1
        if rounds % 10 == 0:
            stage.options.say(f"{rounds} kills, {kills.resumed} streams resumed")
    await asyncio.gather(*audiences)
    slowest = max(kills.recoveries, default=0.0)
    return Told(
        figures={
            "kills": rounds,
            "streams": rounds * STREAMS,
            "streams broken and resumed": kills.resumed,
            "slowest end after a kill, s": slowest,
        },
        charts={"recovery": charts.histogram("Streams that a kill broke", kills.recoveries, x="seconds from kill to end", y="streams")},
        failures=kills.unfinished,
    )


async def _audience(stage: Stage, agent: str, number: int, kills: Kills) -> None:
    streams = (
        _stream(stage, stage.client(f"client-{number}-{place}"), agent, f"round {number} stream {place}", kills) for place in range(STREAMS)
    )
    await asyncio.gather(*streams)


async def _stream(stage: Stage, client: Client, agent: str, name: str, kills: Kills) -> None:
    tokens = stage.chance.randrange(30, 60)
    marks = f"[[n={tokens} itl=20]]" + (" [[tool=current_time]]" if stage.chance.random() < 0.3 else "")
    expected = "".join(f"tok{i} " for i in range(tokens))
    call = await client.stream(agent, f"{name} {marks}", expected=expected)
    broke = time.time()
    if call.run_status or not call.run_id:
        return
    deadline = time.monotonic() + PATIENCE
    while not call.run_status:
        if time.monotonic() > deadline:
            kills.unfinished.append(f"{name}: run {call.run_id} was not read to its end within {PATIENCE:g} s")
            return
        call = await _resumed(client, call)
    kills.resumed += 1
    kills.recoveries.append(time.time() - broke)


async def _resumed(client: Client, call: Call) -> Call:
    again = await client.come_back(call)
    if not again.events:
        again.after = call.events[-1].id if call.events else call.after
        await asyncio.sleep(0.1)
    return again


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("kills", __doc__ or "", count=200, duration=1500, sample=6),
            perform,
            title="Gateways killed amid twenty streams",
            required=("G1", "G5", "G7", "G10"),
        )
    )
