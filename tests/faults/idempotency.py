"""Groups of 2 to 20 copies of one request, each group with one Idempotency-Key, over three replicas of which one after the other is killed.

A copy that found the first one under way, or whose connection broke, is sent again until it has an answer. One run, prompt or agent
comes of each group, every copy gets the same answer, and another body under the key is refused.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call, Written
from tests.faults.report import Told
from tests.faults.stage import Stage

Kind = Literal["chat", "stream", "prompt", "agent"]
KINDS: dict[Kind, int] = {"chat": 45, "stream": 35, "prompt": 10, "agent": 10}
GROUPS_AT_ONCE = 8
PACE = 30  # milliseconds a token: long enough to be killed in
PATIENCE = 90.0  # seconds in which each copy must have an answer


@dataclass(frozen=True)
class Group:
    """One request."""

    number: int
    kind: Kind
    key: str
    agent: str
    tokens: int

    @property
    def expected(self) -> str:
        return "".join(f"tok{place} " for place in range(self.tokens))

    async def send(self, client: Client, *, other: bool = False) -> Call:
        """A copy, or another request under the same key."""
        text = f"group {self.number} [[n={self.tokens} itl={PACE}]]" + (" other" if other else "")
        if self.kind == "chat":
            return await client.chat(self.agent, text, session=self.key, idempotency_key=self.key, expected=self.expected)
        if self.kind == "stream":
            return await client.stream(self.agent, text, session=self.key, idempotency_key=self.key, expected=self.expected)
        name = f"made-{self.number}"
        body = {"id": name, "name": text, "template": text, **({"config": {"model": "openai:gpt-4o"}} if self.kind == "agent" else {})}
        wrote = Written(self.kind, name, text)
        return await client.request(
            "create", "POST", f"/v2/{self.kind}s", body, message=text, idempotency_key=self.key, wrote=None if other else wrote
        )


@dataclass
class Outcome:
    """What the groups came to."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    copies: int = 0
    again: Counter[str] = field(default_factory=Counter[str])  # why copies were sent again
    kills: int = 0
    failures: list[str] = field(default_factory=list[str])


async def perform(stage: Stage) -> Told:
    agent, outcome, done = await stage.agent(), Outcome(), asyncio.Event()
    killing = asyncio.create_task(_kill(stage, outcome, done))
    places = asyncio.Semaphore(GROUPS_AT_ONCE)
    async with asyncio.TaskGroup() as groups:
        for number in range(stage.options.count):
            await places.acquire()
            if stage.time_left < 0:
                outcome.failures.append(f"time ran out after {number} groups")
                break
            (kind,) = stage.chance.choices(list(KINDS), list(KINDS.values()))
            group = Group(number, kind, f"key-{stage.chance.getrandbits(60):015x}", agent, stage.chance.randrange(3, 80))
            groups.create_task(_play(stage, group, outcome, places))
            if (number + 1) % 50 == 0:
                stage.options.say(f"{number + 1} groups, {outcome.kills} kills")
    done.set()
    await killing
    figures: dict[str, object] = {
        "groups": sum(outcome.kinds.values()),
        **{f"groups: {kind}": count for kind, count in outcome.kinds.items()},
    }
    figures |= {"copies": outcome.copies, "kills": outcome.kills, **{f"sent again: {why}": count for why, count in outcome.again.items()}}
    return Told(figures=figures, failures=outcome.failures)


async def _kill(stage: Stage, outcome: Outcome, done: asyncio.Event) -> None:
    while not done.is_set():
        await asyncio.sleep(stage.chance.uniform(1, 4))
        await stage.kill(stage.any_replica())
        outcome.kills += 1
        await stage.start()


async def _play(stage: Stage, group: Group, outcome: Outcome, places: asyncio.Semaphore) -> None:
    try:
        copies = stage.chance.randrange(2, 21)
        names = [f"group-{group.number}-{copy}" for copy in range(copies)]
        delays = [stage.chance.choice((0.0, 0.0, stage.chance.uniform(0, 1))) for _ in names]
        calls = await asyncio.gather(*(_copy(stage, group, name, delay, outcome) for name, delay in zip(names, delays, strict=True)))
        outcome.kinds[group.kind] += 1
        outcome.copies += copies
        statuses = {0 if call is None else call.status for call in calls}
        if not statuses & {200, 201} or 0 in statuses:
            outcome.failures.append(f"group {group.number} ({group.kind}) was answered {statuses}; 0: not within {PATIENCE:g} s")
        else:
            await _send_another(stage, group, outcome)
    finally:
        places.release()


async def _copy(stage: Stage, group: Group, name: str, delay: float, outcome: Outcome) -> Call | None:
    """Send it until it is answered; the last answer, or None when time ran out."""
    client, deadline = stage.client(name), time.monotonic() + PATIENCE
    await asyncio.sleep(delay)
    while time.monotonic() < deadline:
        call = await group.send(client)
        if not _comes_again(call):
            return call
        outcome.again[call.code or (str(call.status) if call.status and not call.error else "connection broke")] += 1
        await asyncio.sleep(0.3)
    return None


def _comes_again(call: Call) -> bool:
    is_whole = bool(call.run_status) if call.op in {"chat", "stream"} and call.status == 200 else bool(call.status) and not call.error
    return not is_whole or call.status in {429, 503} or (call.status == 409 and call.retry_after)


async def _send_another(stage: Stage, group: Group, outcome: Outcome) -> None:
    client, deadline = stage.client(f"other-{group.number}"), time.monotonic() + PATIENCE
    while _comes_again(call := await group.send(client, other=True)) and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    if (call.status, call.code) != (422, "idempotency-key-reused"):
        outcome.failures.append(f"group {group.number}: another body under its key was answered {call.status} {call.code}")


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("idempotency", __doc__ or "", count=500, duration=420, sample=15),
            perform,
            title="Copies of one request on three replicas that are killed",
            required=("G1", "G4", "G5", "G7", "G10"),
            replicas=3,
        )
    )
