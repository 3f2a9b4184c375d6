"""Load on a gateway whose database is killed, how long each kind of request goes unanswered, and what was acknowledged meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.record import Call, Written
from tests.faults.report import Told
from tests.faults.stage import Stage

LONGEST = 5.0  # seconds from a kill until every kind of request is answered again
PATIENCE = 30.0
CLIENTS = {"chat": 4, "stream": 4, "prompt": 2, "agent": 1, "memory": 1, "read": 2}


@dataclass
class Load:
    """Clients of every kind, each sending one request after the other until told to stop."""

    stage: Stage
    agent: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    answered: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))  # kind: latest begin of one answered well
    statuses: Counter[str] = field(default_factory=Counter[str])
    numbers: count[int] = field(default_factory=count)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind, clients in CLIENTS.items():
                for number in range(clients):
                    group.create_task(self._talk(kind, self.stage.client(f"{kind}-{number}")))

    async def answered_again(self, since: float) -> dict[str, float]:
        """For each kind, seconds from then until one that began later was answered; inf for those that are not in time."""
        back: dict[str, float] = {}
        deadline = time.time() + PATIENCE
        while len(back) < len(CLIENTS) and time.time() < deadline:
            for kind in CLIENTS.keys() - back.keys():
                if self.answered[kind] > since:
                    back[kind] = time.time() - since
            await asyncio.sleep(0.01)
        return {kind: back.get(kind, float("inf")) for kind in CLIENTS}

    async def _talk(self, kind: str, client: Client) -> None:
        while not self.stop.is_set():
            call = await self._one(kind, client, next(self.numbers))
            if 200 <= call.status < 300 and not call.error:
                self.answered[kind] = max(self.answered[kind], call.began)
            self.statuses[str(call.status) if call.status else call.error] += 1
            await asyncio.sleep(0.1)

    async def _one(self, kind: str, client: Client, number: int) -> Call:
        text = f"{kind} {number} [[n=4 itl=5]]"
        expected = "tok0 tok1 tok2 tok3 "
        name = f"{kind}-{number}"
        match kind:
            case "chat":
                return await client.chat(self.agent, text, expected=expected)
            case "stream":
                return await client.stream(self.agent, text, expected=expected)
            case "prompt" | "agent":
                body = {"id": name, "name": text, "template": text, **({"config": {"model": "openai:gpt-4o"}} if kind == "agent" else {})}
                return await client.request("write", "POST", f"/v2/{kind}s", body, wrote=Written(kind, name, text))
            case "memory":
                return await self._memory(client, text)
            case _:
                return await client.request("read", "GET", "/v2/runs?limit=1")

    async def _memory(self, client: Client, text: str) -> Call:
        body = {"user_id": "somebody", "agent_id": self.agent, "content": text}
        return await client.request("write", "POST", "/v2/memories", body, wrote=Written("memory", "", text))


async def kill_again_and_again(stage: Stage, load: Load, kill: Callable[[], Awaitable[float]]) -> Told:
    """So many kills, each once everything has been answered again; `kill` gives the time at which it was done."""
    outages: list[dict[str, float]] = []
    loading = asyncio.create_task(load.run())
    await load.answered_again(time.time())
    while len(outages) < stage.options.count and stage.time_left > 0:
        outages.append(await load.answered_again(await kill()))
        if len(outages) % 10 == 0:
            stage.options.say(f"{len(outages)} kills, the longest outage {max(max(outage.values()) for outage in outages):.2f} s")
        await asyncio.sleep(stage.chance.uniform(0.3, 2.0))
    load.stop.set()
    await loading
    return _told(stage, load, outages)


def _told(stage: Stage, load: Load, outages: list[dict[str, float]]) -> Told:
    longest = [max(outage.values()) for outage in outages]
    failures = [
        f"after kill {number + 1} it took {seconds:.1f} s until every kind of request was answered: {outages[number]}"
        for number, seconds in enumerate(longest)
        if seconds > LONGEST
    ]
    if len(outages) < stage.options.count:
        failures.append(f"time ran out after {len(outages)} kills")
    failures += [f"{replica.name} is gone" for replica in stage.replicas if not replica.is_alive]
    ordered = sorted(longest)
    return Told(
        figures={
            "kills": len(outages),
            "longest outage, s": ordered[-1],
            "median outage, s": ordered[len(ordered) // 2],
            **{f"longest without a {kind}, s": max(outage[kind] for outage in outages) for kind in CLIENTS},
            **{f"answers {status}": amount for status, amount in sorted(load.statuses.items())},
        },
        charts={
            "outages": charts.lines(
                "Seconds from each kill until a request of each kind was answered",
                {kind: [(number + 1, outage[kind]) for number, outage in enumerate(outages)] for kind in CLIENTS},
                x="kill",
                y="seconds",
            )
        },
        failures=failures,
    )
