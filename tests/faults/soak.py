"""Hours of mixed load with a fault of a random kind each minute: what a gateway holds stays flat, and every guarantee holds meanwhile.

`--count` faults are spread over `--duration` seconds. The first replica lives through all of it and is watched. It is weighed at rest once
it is warm, and again at the end; in a full run the slope of what it holds under load is judged too.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults import charts
from tests.faults.chaos import Chaos, Fault
from tests.faults.evidence import RECORD
from tests.faults.mixed import Load
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call, read_record
from tests.faults.report import Told
from tests.faults.series import Series
from tests.faults.stage import Stage
from tests.faults.watching import (
    CONNECTIONS,
    DATABASE,
    FILES,
    PROPORTIONAL,
    RESIDENT,
    RUNS,
    STREAMS,
    STUCK_AFTER,
    TASKS,
    UNITS,
    Reading,
    Watch,
)

AGENTS = 3
SAMPLE_SECONDS = 40.0
FULL_SECONDS = 600.0  # from which on slopes say something
WARM = 0.15  # part of the time after which the process is warm
# How much may be added at rest between warm and end, and how much an hour may add under load; KB, or a number.
AT_REST = {RESIDENT: 16_384, PROPORTIONAL: 16_384, FILES: 4, TASKS: 3, DATABASE: 10}
AN_HOUR = {RESIDENT: 16_384, PROPORTIONAL: 16_384, FILES: 6, TASKS: 12, DATABASE: 16, CONNECTIONS: 60}
POOL = 10  # connections, which come back one by one after an outage and leave when unused: that may look like a slope
ALLOWED = {
    "chat": {200, 409, 502, 503, 504},
    "stream": {200, 409, 502, 503, 504},
    "follow": {200, 503},
    "read": {200, 404, 503},
    "remember": {201, 503},
    "mistake": {404, 405, 422, 503},
    "whoami": {200, 401, 503},
    "cancel": {200, 202, 204, 503},
}


@dataclass
class Soak:
    """One soak and what was seen."""

    stage: Stage
    load: Load
    chaos: Chaos
    watch: Watch
    warm: Reading = field(default_factory=Reading)
    end: Reading = field(default_factory=Reading)
    judged_from: float = 0.0

    async def play(self, seconds: float) -> None:
        """Load and faults, a rest when it is warm, load and faults, and the rest at the end."""
        faults = self.chaos.deck(self.stage.options.count)
        warming = max(1, round(len(faults) * WARM))
        async with self.watch.running(every=min(5.0, seconds / 40)):
            await self._part(faults[:warming], seconds * WARM)
            self.warm = await self._at_rest()
            self.judged_from = self.watch.seconds
            await self._part(faults[warming:], seconds * (1 - WARM))
            self.end = await self._at_rest()

    async def _part(self, faults: Sequence[Fault], seconds: float) -> None:
        """Under load, each fault at a random moment of its share of the time."""
        share, began = seconds / max(1, len(faults)), self.watch.seconds
        async with self.load.running():
            for number, fault in enumerate(faults):
                await self._until(began + share * (number + self.stage.chance.uniform(0, 0.5)))
                async with self.watch.disturbed():
                    await self.chaos.make(fault)
                await self.stage.take_ledger()
                self._tell(fault.__name__.replace("_", " "))
            await self._until(began + seconds)

    async def _until(self, second: float) -> None:
        await asyncio.sleep(max(0.0, second - self.watch.seconds))

    async def _at_rest(self) -> Reading:
        """What is held when nothing is done any more."""
        await self.stage.settle()
        await asyncio.sleep(3)
        return await self.watch.read()

    def _tell(self, fault: str) -> None:
        now = {name: series.points[-1][1] for name, series in self.watch.series.items()}
        self.stage.options.say(
            f"{self.watch.seconds:.0f} s, {self.load.done.total()} actions, {self.chaos.done.total()} faults, the last: {fault}; "
            + ", ".join(f"{name} {value:.0f}" for name, value in now.items())
        )


async def perform(stage: Stage) -> Told:
    """Play and judge."""
    seconds = SAMPLE_SECONDS if stage.options.sample else stage.options.duration
    agents = [await stage.agent(tools=[{"type": "builtin", "name": "current_time"}]) for _ in range(AGENTS)]
    soak = Soak(stage, Load(stage, agents), Chaos(stage, agents), Watch(stage, stage.replicas[0]))
    await soak.play(seconds)
    told = Counter((line.op, line.status) for line in read_record(stage.options.report / RECORD) if isinstance(line, Call) and line.status)
    failures = [*soak.chaos.failures, *soak.load.unfinished, *_not_allowed(told), *_not_flat(soak)]
    failures += [f"run {run} was under way for over {STUCK_AFTER:g} s: {message}" for run, message in soak.watch.stuck.items()]
    failures += list(_growing(soak)) if seconds >= FULL_SECONDS else []
    return Told(_figures(soak, told), _charts(soak), failures)


def _not_allowed(told: Mapping[tuple[str, int], int]) -> Iterator[str]:
    for (op, status), times in sorted(told.items()):
        if status not in ALLOWED[op]:
            yield f"{op} was answered {status} {times} times"


def _not_flat(soak: Soak) -> Iterator[str]:
    """At rest nothing is left over."""
    if not soak.watch.replica.is_alive:
        yield "the replica that should live through everything died"
    for name, most in AT_REST.items():
        if (added := soak.end[name] - soak.warm[name]) > most:
            yield f"{name} at rest: {added:.0f} more than when it was warm; at most {most} {UNITS.get(name, '')}"
    for name in (RUNS, STREAMS):
        if soak.end[name]:
            yield f"{name} at rest: {soak.end[name]:.0f}"


def _growing(soak: Soak) -> Iterator[str]:
    """Under load nothing grows with the time."""
    for name, most in AN_HOUR.items():
        if (slope := _judged(soak, name).per_hour) > most:
            yield f"{name}: {slope:.1f} more each hour (least squares); at most {most} {UNITS.get(name, '')}"
    if (most := max(value for _, value in soak.watch.series[DATABASE].points)) > POOL:
        yield f"{DATABASE}: {most:.0f} were open; the pool has {POOL}"


def _judged(soak: Soak, name: str) -> Series:
    return soak.watch.series[name].since(soak.judged_from)


def _figures(soak: Soak, told: Mapping[tuple[str, int], int]) -> dict[str, object]:
    figures: dict[str, object] = {
        "seconds": soak.watch.seconds,
        "actions of users": soak.load.done.total(),
        "HTTP answers": sum(told.values()),
        "answers by status": ", ".join(f"{status}: {times}" for status, times in sorted(_by_status(told).items())),
        "faults": ", ".join(f"{name}: {times}" for name, times in sorted(soak.chaos.done.items())),
    }
    for name in AN_HOUR:
        unit = f" ({UNITS[name]})" if name in UNITS else ""
        figures[f"{name}{unit}: warm and at the end, at rest"] = f"{soak.warm[name]:.0f}, {soak.end[name]:.0f}"
        figures[f"{name}{unit}: growth in an hour of load, least squares"] = _judged(soak, name).per_hour
    return figures


def _by_status(told: Mapping[tuple[str, int], int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for (_, status), times in told.items():
        found[status] += times
    return found


def _charts(soak: Soak) -> dict[str, str]:
    shown = {name: series.points for name, series in soak.watch.series.items()}
    memory = {name: shown[name] for name in (RESIDENT, PROPORTIONAL)}
    counts = {name: shown[name] for name in (TASKS, FILES, CONNECTIONS, DATABASE, STREAMS)}
    return {
        "memory": charts.lines("Memory of the gateway that lived through it", memory, x="seconds", y="KB"),
        "held": charts.lines("What it holds besides", counts, x="seconds", y=""),
    }


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("soak", "Mixed load, and a random fault each minute.", count=60, duration=3600, sample=5),
            perform,
            title="Mixed load with a random fault each minute",
            required=("G1", "G4", "G5", "G7", "G8", "G10", "G12"),
            # A hang is given up within the time that a run may take; nothing in this load is silent for so long by itself.
            variables={"POINTSMAN_PROVIDERS__OPENAI__FIRST_BYTE": "4", "POINTSMAN_PROVIDERS__OPENAI__IDLE": "4"},
        )
    )
