"""The database goes away amid a reservation or a settlement: nothing is asked unreserved, and what committed unheard counts once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.access.access_scene import Line
from tests.budgets.budget_scene import body, holds, stands
from tests.chat.conftest import Scene
from tests.e2e.calling import Caller, unique
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread
from tests.runs.run_scene import until

from pointsman.kit.db import Connection, connect
from pointsman.settings import KeyRingSettings, ProviderSettings

# What the server says of statements that wait for the test: those of a gateway whose connection is lost go on waiting, and then commit.
_WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@dataclass(frozen=True)
class Far:
    """A gateway at the end of a line, with one agent and its budget; what there is in its database is seen from here."""

    caller: Caller
    line: Line
    scene: Scene
    owner: Connection
    dsn: str
    agent: str
    budget: dict[str, Any]

    def chat(self, word: str, markers: str = "") -> asyncio.Task[dict[str, Any]]:
        return asyncio.create_task(self.caller.chat(self.agent, f"{word} [[n=20;ttft=500]] {markers}"))

    async def asked(self, word: str) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.scene.asked, word)

    async def held(self) -> list[int]:
        rows = await self.owner.fetch("SELECT amount::int AS amount FROM budget_reservations")
        return [row["amount"] for row in rows]

    async def counted(self) -> tuple[int, int]:
        """What is spent and what is reserved, also while the gateway is cut off."""
        row = await self.owner.fetchrow("SELECT spent::int AS spent, reserved::int AS reserved FROM budget_counters")
        assert row is not None
        return row["spent"], row["reserved"]

    async def waiting(self) -> list[int]:
        return [row["pid"] for row in await self.owner.fetch(_WAITING)]

    async def waits(self, statements: int = 1) -> None:
        async def enough() -> bool:
            return len(await self.waiting()) == statements

        await until(enough)

    @asynccontextmanager
    async def counters_locked(self) -> AsyncGenerator[None]:
        """Whatever would count against the budget waits until the block ends."""
        holder = await connect(self.dsn, role=None)
        try:
            async with holder.transaction():
                await holder.execute("SELECT FROM budget_counters FOR UPDATE")
                yield
        finally:
            await holder.close()


@pytest.fixture
async def far(scene: Scene, dsn: str, owner: Connection, tmp_path: Path) -> AsyncGenerator[Far]:
    folder = tmp_path / "line"
    folder.mkdir()
    line = Line(dsn, folder)
    await line.mend()
    key = await admin_key(dsn, tmp_path)
    settings = {
        "data_dir": tmp_path / "data",
        "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]}),
        "providers": {"vllm": ProviderSettings(base_url=scene.upstream.openai_url)},
    }
    with contextlib.ExitStack() as stack:
        # Entered beside the loop that carries its line.
        url = await asyncio.to_thread(stack.enter_context, serving_from_a_thread(line.dsn, settings))
        caller = Caller(url, key)
        tools = [{"type": "builtin", "name": "current_time"}]
        agent = await caller.agent(model="vllm:llama", model_settings={"max_tokens": 50}, tools=tools)
        budget = await caller.post("/v2/budgets", body("agent", agent, 100_000))
        yield Far(caller, line, scene, owner, dsn, agent, budget)
        await caller.aclose()
        await asyncio.to_thread(stack.close)
    await line.cut()


async def test_while_the_database_is_away_no_model_is_asked_and_then_the_call_goes_on(far: Far) -> None:
    word = unique("away")
    async with far.counters_locked():
        turn = far.chat(word)
        await far.waits()
        await far.line.cut()
        for pid in await far.waiting():
            await far.owner.execute("SELECT pg_terminate_backend($1)", pid)
        await far.waits(0)
    await asyncio.sleep(1)  # longer than what applies may be known
    refused = await far.caller.try_chat(far.agent, f"{word} meanwhile")
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert (await far.asked(word), await far.counted(), turn.done()) == ([], (0, 0), False)
    await far.line.mend()
    answer = await turn
    [asked] = await far.asked(word)
    assert answer["usage"]["total_tokens"] == asked["usage"]["prompt_tokens"] + asked["usage"]["completion_tokens"]
    assert await stands(far.caller, far.budget) == (answer["usage"]["total_tokens"], 0)


async def test_a_reservation_whose_confirmation_is_lost_is_made_once(far: Far) -> None:
    word = unique("unheard")
    async with far.counters_locked():
        turn = far.chat(word)
        await far.waits()
        await far.line.cut()
    await until(far.held)
    [held] = await far.held()
    assert (await far.counted(), await far.asked(word)) == ((0, held), [])
    await far.line.mend()
    while not await far.asked(word):
        await asyncio.sleep(0.01)
    assert (await far.held(), await far.counted()) == ([held], (0, held))
    answer = await turn
    assert (await far.held(), await far.counted()) == ([], (answer["usage"]["total_tokens"], 0))


@pytest.mark.parametrize("room", ["for one", "for many"])
async def test_a_reservation_that_is_repeated_while_it_still_waits_is_made_once_and_takes_no_room_from_itself(far: Far, room: str) -> None:
    turn = far.chat(unique("equal"))
    held = await holds(far.caller, far.budget)
    spent = (await turn)["usage"]["total_tokens"]
    if room == "for one":
        await far.caller.patch(f"/v2/budgets/{far.budget['id']}", {"amount": spent + held})
    async with far.counters_locked():
        turn = far.chat(unique("equal"))
        await far.waits()
        await far.line.cut()
        await far.line.mend()
        await far.waits(2)
    await until(far.held)
    assert (await far.held(), await far.counted()) == ([held], (spent, held))
    spent += (await turn)["usage"]["total_tokens"]
    assert (await far.held(), await far.counted()) == ([], (spent, 0))


@pytest.mark.parametrize("markers", ["", "[[tool=current_time]]"], ids=["end", "step"])
@pytest.mark.parametrize("overtaken", [False, True], ids=["then repeated", "while repeated"])
async def test_a_settlement_whose_confirmation_is_lost_counts_once(far: Far, markers: str, *, overtaken: bool) -> None:
    word = unique("settled")
    turn = far.chat(word, markers)
    await holds(far.caller, far.budget)
    async with far.counters_locked():
        await far.waits()
        await far.line.cut()
        if overtaken:
            await far.line.mend()
            await far.waits(2)
    if not overtaken:
        await until(lambda: nothing(far))
        spent, _ = await far.counted()
        [asked] = await far.asked(word)
        assert spent == asked["usage"]["prompt_tokens"] + asked["usage"]["completion_tokens"]
        await far.line.mend()
    answer = await turn
    assert len(await far.asked(word)) == (2 if markers else 1)
    assert (await far.held(), await far.counted()) == ([], (answer["usage"]["total_tokens"], 0))
    assert await far.owner.fetchval("SELECT sum(total_tokens) FROM token_usage") == answer["usage"]["total_tokens"]


async def nothing(far: Far) -> bool:
    """Whether all that was held is given back."""
    return not await far.held()
