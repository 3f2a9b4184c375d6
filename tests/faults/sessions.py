"""Sessions in numbers and in length: memory stays flat, and a late turn takes no longer than an early one.

`--count` sessions of 20 turns, some tens open at a time, and one of 1,000 turns, all with history and memory on. Turns that are timed are
taken one at a time, so that it is never a queue that is measured; beside each late turn a new session is begun, so that it is compared
with a second turn of the same moment, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import msgspec
from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.processes import held
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.series import Series
from tests.faults.stage import Stage

TOGETHER = 30
TIMED = (2, 5, 10, 15)  # and the last
MEMORIES = 3  # of each user
REFERENCE_EVERY = 5  # turns of the long session
WINDOW = 50  # turns of the long session that make one figure
KB_PER_SESSION = 20.0
RATIO_OF_20, RATIO_OF_1000 = 1.3, 1.5
ANSWER = "".join(f"tok{number} " for number in range(20))


@dataclass(frozen=True)
class Shape:
    """How many sessions of how many turns, how many before anything is measured, and how many turns the long one has."""

    sessions: int
    turns: int = 20
    warm: int = 60
    long: int = 1000


@dataclass
class Measured:
    """What was seen; latencies in seconds, memory in KB."""

    by_turn: dict[int, list[float]] = field(default_factory=lambda: defaultdict[int, list[float]](list))
    beside_last: list[float] = field(default_factory=list[float])  # second turns of sessions begun beside the last turns
    memory: Series = field(default_factory=lambda: Series("resident", "KB"))
    shared_out: Series = field(default_factory=lambda: Series("proportional", "KB"))
    long_turns: list[float] = field(default_factory=list[float])
    beside_long: dict[int, float] = field(default_factory=dict[int, float])  # the same, by the turn of the long session
    long_memory: Series = field(default_factory=lambda: Series("resident", "KB"))

    @property
    def ratio_of_last(self) -> float:
        """The last turns of the many sessions, relative to second turns beside them; medians."""
        return median(self.by_turn[max(self.by_turn)]) / median(self.beside_last)

    @property
    def ratio_of_long(self) -> float:
        """The last window of the long session, relative to second turns beside it; medians."""
        beginning = len(self.long_turns) - WINDOW
        return median(self.long_turns[-WINDOW:]) / median(value for turn, value in self.beside_long.items() if turn > beginning)


class Talk:
    """One user's session."""

    def __init__(self, client: Client, agent: str, name: str) -> None:
        self.name = name
        self.wrong: list[str] = []
        self._client = client
        self._agent = agent
        self._turn = 0

    async def turn(self) -> float:
        """Take the next turn; its latency in seconds."""
        self._turn += 1
        message = f"{self.name}: turn {self._turn}"
        call = await self._client.chat(self._agent, message, session=f"session-{self.name}", user_id=f"user-{self.name}", expected=ANSWER)
        if call.status != 200:
            self.wrong.append(f"{message}: {call.status} {call.code} {call.error}")
        return call.ended - call.began

    async def remember(self, stage: Stage) -> None:
        """Let the agent know something about the user beforehand."""
        for number in range(MEMORIES):
            body = {"user_id": f"user-{self.name}", "agent_id": self._agent, "content": f"{self.name} likes the number {number}."}
            await stage.ask("POST", "/v2/memories", body)


@dataclass
class Sessions:
    """The program."""

    stage: Stage
    shape: Shape
    agent: str
    client: Client
    measured: Measured = field(default_factory=Measured)
    talks: list[Talk] = field(default_factory=list[Talk])

    async def play(self) -> None:
        """Warm up, then many sessions, then the long one."""
        await self._many("warm", self.shape.warm, measured=Measured())
        await self._many("many", self.shape.sessions, measured=self.measured)
        await self._long()

    async def _many(self, kind: str, count: int, *, measured: Measured) -> None:
        await self._weigh(0, measured)
        for first in range(0, count, TOGETHER):
            talks = [self._talk(f"{kind}-{number}") for number in range(first, min(first + TOGETHER, count))]
            await asyncio.gather(*(talk.remember(self.stage) for talk in talks))
            for turn in range(1, self.shape.turns):
                if turn in TIMED:
                    measured.by_turn[turn] += [await talk.turn() for talk in talks]
                else:
                    await asyncio.gather(*(talk.turn() for talk in talks))
            for talk in talks:
                measured.beside_last.append(await self._second_turn(f"beside-{talk.name}"))
                measured.by_turn[self.shape.turns].append(await talk.turn())
            await self._weigh(first + len(talks), measured)
            self.stage.options.say(f"{kind}: {first + len(talks)} of {count} sessions")

    async def _long(self) -> None:
        long = self._talk("long")
        await long.remember(self.stage)
        for turn in range(1, self.shape.long + 1):
            self.measured.long_turns.append(await long.turn())
            if turn % REFERENCE_EVERY == 0:
                self.measured.beside_long[turn] = await self._second_turn(f"beside-long-{turn}")
            if turn % WINDOW == 0:
                self.measured.long_memory.add(turn, held(self.stage.replicas[0].pid).rss)
                self.stage.options.say(f"the long session: turn {turn} of {self.shape.long}")

    async def _second_turn(self, name: str) -> float:
        new = self._talk(name)
        await new.remember(self.stage)
        await new.turn()
        return await new.turn()

    async def _weigh(self, sessions: int, measured: Measured) -> None:
        await asyncio.sleep(0.5)  # what was begun is written
        now = held(self.stage.replicas[0].pid)
        measured.memory.add(sessions, now.rss)
        measured.shared_out.add(sessions, now.pss)

    def _talk(self, name: str) -> Talk:
        self.talks.append(Talk(self.client, self.agent, name))
        return self.talks[-1]


async def perform(stage: Stage) -> Told:
    """Play, check what the model was shown, and judge the figures of a full run."""
    options = stage.options
    shape = Shape(options.count, turns=6, warm=6, long=60) if options.sample else Shape(options.count)
    sessions = Sessions(stage, shape, await stage.agent(), stage.client("talker"))
    await sessions.play()
    failures = [wrong for talk in sessions.talks for wrong in talk.wrong]
    failures += _shown_otherwise(await asyncio.to_thread(stage.upstream.settled))
    failures += [] if options.sample else _missed(sessions.measured, shape)
    return Told(_figures(sessions.measured, shape), _charts(sessions.measured), failures)


def _shown_otherwise(ledger: list[dict[str, object]]) -> Iterator[str]:
    """Whatever the length of a session, the model sees the last three runs, the memories and the message."""
    seen: Counter[tuple[int, int]] = Counter()
    for entry in ledger:
        messages = msgspec.convert(entry["body"], dict[str, object])["messages"]
        shown = msgspec.convert(messages, list[dict[str, object]])
        turn = int(str(entry["text"]).rpartition(" ")[2])
        due = 2 + 2 * min(3, turn - 1)
        memories = str(shown[0]["content"]).count("likes the number")
        if (len(shown), memories) != (due, MEMORIES):
            seen[len(shown), memories] += 1
            yield f"{entry['text']}: the model saw {len(shown)} messages and {memories} memories, not {due} and {MEMORIES}"


def _missed(measured: Measured, shape: Shape) -> Iterator[str]:
    growth = measured.memory.growth / shape.sessions
    if growth >= KB_PER_SESSION:
        yield f"memory grew by {growth:.1f} KB per session; at most {KB_PER_SESSION:g}"
    if measured.memory.slope >= KB_PER_SESSION:
        yield f"memory grows by {measured.memory.slope:.1f} KB per session (least squares); at most {KB_PER_SESSION:g}"
    if (ratio := measured.ratio_of_last) > RATIO_OF_20:
        yield f"turn {shape.turns} takes {ratio:.2f} times turn 2; at most {RATIO_OF_20}"
    if (ratio := measured.ratio_of_long) > RATIO_OF_1000:
        yield f"turn {shape.long} takes {ratio:.2f} times turn 2; at most {RATIO_OF_1000}"


def _figures(measured: Measured, shape: Shape) -> dict[str, object]:
    timed = sorted(measured.by_turn)
    return {
        "sessions, and turns of each": f"{shape.sessions} of {shape.turns}, one of {shape.long}",
        "memory before and after (KB resident)": f"{measured.memory.points[0][1]:.0f}, {measured.memory.points[-1][1]:.0f}",
        "memory per session (KB): growth": measured.memory.growth / shape.sessions,
        "memory per session (KB): least squares": measured.memory.slope,
        "memory per session (KB): least squares, proportional": measured.shared_out.slope,
        "memory over the long session (KB resident)": measured.long_memory.growth,
        **{f"turn {turn} (ms, median)": 1000 * median(measured.by_turn[turn]) for turn in timed},
        "turn 2 of sessions begun beside the last turns (ms, median)": 1000 * median(measured.beside_last),
        f"turn {shape.turns} / turn 2 beside it": measured.ratio_of_last,
        f"turns {shape.long - WINDOW + 1} to {shape.long} (ms, median)": 1000 * median(measured.long_turns[-WINDOW:]),
        f"turn {shape.long} / turn 2 beside it": measured.ratio_of_long,
    }


def _charts(measured: Measured) -> dict[str, str]:
    turns = measured.long_turns
    windows = [(first + WINDOW / 2, 1000 * median(turns[first : first + WINDOW])) for first in range(0, len(turns) - WINDOW + 1, WINDOW)]
    beside = sorted((turn, 1000 * value) for turn, value in measured.beside_long.items())
    return {
        "latency-by-turn": charts.bars(
            "Median latency by turn", {f"turn {turn}": 1000 * median(values) for turn, values in measured.by_turn.items()}, x="", y="ms"
        ),
        "latency-of-the-long-session": charts.lines(
            "The long session", {"its turns (medians of 50)": windows, "second turns of new sessions": beside}, x="turn", y="ms"
        ),
        "memory-by-session": charts.lines(
            "Memory of the gateway",
            {"resident": measured.memory.points, "proportional": measured.shared_out.points},
            x="sessions taken",
            y="KB",
        ),
    }


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("sessions", "Many sessions, and a long one.", count=300, duration=1500, sample=12),
            perform,
            title="Sessions: many, and a long one",
            required=("G1", "G5"),
            replicas=1,
        )
    )
