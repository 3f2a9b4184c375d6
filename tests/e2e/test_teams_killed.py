"""`kill -9` amid runs of teams: each comes to one end, and no task is lost, done twice or told twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.chat.team_scene import scripted, streaming, task, team_of, texts_of
from tests.e2e.calling import TERMINAL, Caller, Event, names, unique
from tests.e2e.conftest import Call, Start
from tests.e2e.gateways import admin_key
from tests.faults.failing import names as failpoints

from pointsman.kit.db import connect

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
RECOVERY = 30  # seconds in which every run must have ended, beyond its own work
AT_ONCE = 6

pytestmark = pytest.mark.timeout(120 + 60 * ROUNDS)


@dataclass
class Reader:
    """One client of a team: what it has seen over however many connections."""

    team: str
    session: str = field(default_factory=lambda: unique("session"))
    run_id: str = ""
    seen: list[Event] = field(default_factory=list[Event])

    async def listen(self, caller: Caller) -> None:
        with suppress(httpx.TransportError):
            async with streaming(caller, self.team, session_id=self.session) as reader:
                self.run_id = reader.run_id
                async for event in reader:
                    self.seen.append(event)

    async def come_back(self, caller: Caller) -> None:
        if not self.run_id:
            self.run_id = (await caller.get("/v2/runs", session_id=self.session))["items"][0]["id"]
        while not self.has_ended:
            with suppress(httpx.TransportError):
                async with caller.follow(self.run_id, self.seen[-1].id if self.seen else None, "full") as reader:
                    async for event in reader:
                        self.seen.append(event)

    @property
    def has_ended(self) -> bool:
        return bool(self.seen) and self.seen[-1].name in TERMINAL


@dataclass
class Desk:
    """A team whose leader gives three tasks at once, then one more; who says what, and what all of it comes to."""

    team: str
    leader: str
    members: tuple[str, str]

    @classmethod
    async def make(cls, caller: Caller) -> Desk:
        words = " ".join(f"w{number}" for number in range(12))
        clock = [{"type": "builtin", "name": "current_time"}]
        turns = [
            {"text": f"one {words} ", "delay_ms": 15, "tool_calls": [{"name": "current_time"}]},
            {"text": f"two {words}", "delay_ms": 15},
        ]
        first = await scripted(caller, *turns * 2, tools=clock)
        second = await scripted(caller, *[{"text": f"three {words}", "delay_ms": 20}] * 2)
        leader = await scripted(
            caller,
            {"text": "Begin. ", "delay_ms": 10, "tool_calls": [task(first, "A", "a"), task(second, "B", "b"), task(first, "C", "c")]},
            {"text": "More. ", "delay_ms": 10, "tool_calls": [task(second, "D", "a")]},
            {"text": "All is done.", "delay_ms": 10},
        )
        return cls(await team_of(caller, leader, first, second), leader, (first, second))

    async def assert_whole(self, dsn: str, caller: Caller, reader: Reader) -> None:
        seen, (first, second) = reader.seen, self.members
        ids = [event.id for event in seen]
        assert ids == sorted(set(ids))
        assert [name for name in names(seen) if name in TERMINAL] == ["run.completed"], seen[-1].data
        run = await caller.get(f"/v2/runs/{reader.run_id}")
        assert (run["status"], run["content"]) == ("completed", "All is done.")
        said = [text.split()[0] for text in texts_of(seen).values()]
        assert Counter(said) == Counter({"Begin.": 1, "More.": 1, "All": 1, "one": 2, "two": 2, "three": 2}), texts_of(seen)
        assert all(text.rstrip().endswith("w11") for text in texts_of(seen).values() if text.startswith(("one", "two", "three")))
        whole = Counter((event.data.get("member"), event.data["message"]) for event in seen if event.name == "message.completed")
        assert set(whole.values()) == {1}, whole
        assert len(whole) == 9
        assert Counter(names(seen))["tool.completed"] == 4 + 2
        assert Counter(names(seen))["tool.called"] == 4 + 2
        replayed = {event.id: event.raw for event in await caller.replay(reader.run_id, verbosity="full")}
        assert {event.id for event in seen if event.id not in replayed} <= {event.id for event in seen if event.name == "message.delta"}
        assert all(replayed[event.id] == event.raw for event in seen if event.id in replayed)
        children = (await caller.get("/v2/runs", parent_run_id=reader.run_id))["items"]
        assert Counter((child["subject"], child["status"]) for child in children) == {(first, "completed"): 2, (second, "completed"): 2}
        await self._assert_counted_once(dsn, run, [reader.run_id, *(child["id"] for child in children)])
        counted = sum(event.data["total_tokens"] for event in seen if event.name == "usage.recorded")
        assert counted == run["usage"]["total_tokens"] == sum(part["total_tokens"] for part in run["usage"]["members"].values())

    async def _assert_counted_once(self, dsn: str, run: dict[str, object], run_ids: list[str]) -> None:
        connection = await connect(dsn, role=None)
        try:
            rows = await connection.fetch(
                "SELECT run_id, is_estimated FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE run_id = ANY($1)", run_ids
            )
        finally:
            await connection.close()
        reported = Counter(row["run_id"] for row in rows if not row["is_estimated"])
        assert reported[run["id"]] == 3
        assert sorted(count for run_id, count in reported.items() if run_id != run["id"]) == [1, 1, 2, 2]


async def test_teams_at_work_on_a_killed_replica_are_finished_by_another(dsn: str, tmp_path: Path, start: Start, call: Call) -> None:
    key = await admin_key(dsn, tmp_path)
    victim, survivor = await asyncio.gather(start(dsn), start(dsn))
    desk = await Desk.make(call(survivor, key))
    for _ in range(ROUNDS):
        readers = [Reader(desk.team) for _ in range(AT_ONCE)]
        callers = [call(victim, key), call(survivor, key)]
        async with asyncio.TaskGroup() as group:
            for number, reader in enumerate(readers):
                group.create_task(reader.listen(callers[number % 2 if number < 2 else 0]))
            async with asyncio.timeout(20):
                while not all(reader.seen for reader in readers):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(random.uniform(0.05, 1.2))
            victim.kill()
        replacement = asyncio.create_task(start(dsn))
        async with asyncio.timeout(RECOVERY):
            await asyncio.gather(*(reader.come_back(callers[1]) for reader in readers))
        for reader in readers:
            await desk.assert_whole(dsn, callers[1], reader)
        victim, survivor = survivor, await replacement


POINTS = ("runs.open", "runs.model_step", "runs.tool_step", "runs.relay", "runs.end", "deltas")


# The moments before and after each commit are what the program of kills comes to.
@pytest.mark.parametrize("point", [name for name in failpoints() if name.rpartition(".")[0] in POINTS and name.endswith(".in")])
async def test_a_team_whose_gateway_dies_at_a_transition_is_finished_elsewhere(
    point: str, dsn: str, tmp_path: Path, start: Start, call: Call
) -> None:
    key = await admin_key(dsn, tmp_path)
    passed = random.randint(1, 6)
    victim = await start(dsn, POINTSMAN_FAILPOINTS=f'["{point}:kill@{passed}"]')
    survivor = await start(dsn)
    desk = await Desk.make(call(survivor, key))
    reader = Reader(desk.team)
    await reader.listen(call(victim, key))
    async with asyncio.timeout(RECOVERY):
        if not reader.run_id and not (await call(survivor, key).get("/v2/runs", session_id=reader.session))["items"]:
            return  # it died before there was a run
        await reader.come_back(call(survivor, key))
    await desk.assert_whole(dsn, call(survivor, key), reader)
