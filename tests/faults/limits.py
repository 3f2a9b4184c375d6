"""Three replicas and one key: twice as many parallel calls as its hour allows, and a replica killed amid them; never one over.

`--count` is the hourly limit. Calls that the kill broke are made again, as new requests. When the hour is used up every further
call on every replica, also on one that has just started, is refused with when to come back.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call
from tests.faults.report import Told
from tests.faults.stage import Stage

KEY = "limited"
AFTER = 60  # calls when the hour is used up
CHATS = 0.25  # of the calls; the others read


@dataclass
class Answers:
    """What the calls came to."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def note(self, call: Call) -> None:
        self.statuses[call.status] += 1
        async with self.came:
            self.came.notify_all()

    async def reach(self, count: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: self.statuses.total() >= count)


async def perform(stage: Stage) -> Told:
    limit = stage.options.count
    await stage.make_key(KEY, rate_limit=limit, scopes=("agents:read", "agents:run"))
    agent = await stage.agent()
    answers = Answers()
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill(stage, answers, after=limit // 2))
        for number in range(2 * limit):
            group.create_task(_call(stage.client(f"client-{number}", KEY), agent, number, answers, chats=stage.chance.random() < CHATS))
    stage.options.say(f"answers: {dict(answers.statuses)}")
    late = Answers()
    for number in range(AFTER):
        await _call(stage.client(f"late-{number}", KEY), agent, 2 * limit + number, late, chats=number % 2 == 0)
    failures = [f"after the hour was used up calls were answered {dict(late.statuses)}"] if set(late.statuses) != {429} else []
    used = sum(count for status, count in answers.statuses.items() if status not in {0, 429})
    return Told(
        figures={
            "limit": limit,
            "calls": answers.statuses.total() + AFTER,
            "let in and answered": used,
            "refused": answers.statuses[429] + late.statuses[429],
            "broken by the kill": answers.statuses[0],
        },
        failures=failures,
    )


async def _kill(stage: Stage, answers: Answers, *, after: int) -> None:
    """When so many answers have come, `kill -9` of a replica; a new one takes its place."""
    await answers.reach(after)
    await stage.kill(stage.any_replica())
    await stage.start()


async def _call(client: Client, agent: str, number: int, answers: Answers, *, chats: bool) -> None:
    for attempt in range(2):
        if chats:
            call = await client.chat(agent, f"call {number} attempt {attempt} [[n=3]]", expected="tok0 tok1 tok2 ")
        else:
            call = await client.request("read", "GET", f"/v2/agents/{agent}")
        await answers.note(call)
        if call.status:
            return


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("limits", __doc__ or "", count=1000, duration=300, sample=100),
            perform,
            title="An hourly limit on three replicas, one of them killed",
            required=("G1", "G5", "G10", "G13"),
            replicas=3,
        )
    )
