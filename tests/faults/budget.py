"""A budget of so many calls' worth, three times as many parallel chats on three replicas, and a replica killed amid them; never over.

Chats that are refused while others hold what is left come again; then one after the other until nothing fits any more. At no moment is
more spent and reserved than the budget allows, and in the end what is spent is the sum of the key's usage rows, with nothing reserved.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.record import Call
from tests.faults.report import Told
from tests.faults.stage import Stage

from pointsman.kit.db import connect

TOKENS = 20
PATIENCE = 45.0  # seconds in which reservations of the dead must be free, and each chat answered for good
KNOWN_WITHIN = 6.0  # seconds after which every process knows a budget, and what a run never reserved was never asked
ATTEMPTS = 60
EXPECTED = "".join(f"tok{place} " for place in range(TOKENS))


@dataclass
class Spending:
    """The budget as it was seen over time, and what the chats were told."""

    budget: str
    amount: int
    worth: int
    seen: list[tuple[float, int, int]] = field(default_factory=list[tuple[float, int, int]])  # seconds, spent, reserved
    answers: Counter[str] = field(default_factory=Counter[str])

    @property
    def most(self) -> int:
        return max((spent + reserved for _, spent, reserved in self.seen), default=0)


async def perform(stage: Stage) -> Told:
    agent = await stage.agent(model_settings={"max_tokens": TOKENS})
    worth = await _worth(stage, agent)
    key = await stage.make_key("spender", scopes=("agents:run",))
    body = {"subject_type": "key", "subject_id": str(key), "unit": "tokens", "period": "day", "amount": worth * stage.options.count}
    spending = Spending((await stage.ask("POST", "/v2/budgets", body))["id"], worth * stage.options.count, worth)
    await asyncio.sleep(KNOWN_WITHIN)
    watching = asyncio.create_task(_watch(stage, spending))
    async with asyncio.TaskGroup() as group:
        group.create_task(_kill(stage, spending))
        for number in range(3 * stage.options.count):
            group.create_task(_chat(stage, stage.client(f"client-{number}", "spender"), agent, number, spending))
    await _use_up(stage, agent, spending)
    await stage.settle()
    final = await _settled(stage, spending)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return _told(stage, spending, final, await _counted(stage, key))


async def _worth(stage: Stage, agent: str) -> int:
    """Tokens of one call: all messages have the same length."""
    call = await stage.client("measure").chat(agent, _message(99_999), expected=EXPECTED)
    assert call.usage is not None
    return call.usage["total_tokens"]


def _message(number: int) -> str:
    return f"chat {number:05d} [[n={TOKENS} itl=40]]"


async def _chat(stage: Stage, client: Client, agent: str, number: int, spending: Spending) -> Call:
    """Until it is answered, or refused for good. A chat whose replica died is not repeated: its run goes on."""
    deadline, attempt = time.monotonic() + PATIENCE, 0
    while True:
        # A text of its own for each attempt, all of one length.
        call = await client.chat(agent, _message(attempt * 1000 + number), expected=EXPECTED)
        attempt += 1
        passing = call.status in {429, 503} and not _is_final(spending)
        if not passing or attempt == ATTEMPTS or time.monotonic() > deadline:
            spending.answers[call.code or str(call.status or "broken by the kill")] += 1
            return call
        await asyncio.sleep(stage.chance.uniform(0.3, 1.2))


def _is_final(spending: Spending) -> bool:
    """Whether not one more call fits, though nobody else held anything."""
    return bool(spending.seen) and spending.amount - spending.seen[-1][1] < spending.worth


async def _use_up(stage: Stage, agent: str, spending: Spending) -> None:
    """One after the other, until nothing fits."""
    refused, number = 0, 90_000
    while refused < 3 and stage.time_left > 0:
        number += 1
        call = await stage.client(f"late-{number}", "spender").chat(agent, _message(number), expected=EXPECTED)
        spending.answers[call.code or str(call.status)] += 1
        refused = refused + 1 if call.status == 429 else 0


async def _kill(stage: Stage, spending: Spending) -> None:
    """Amid the chats: when a tenth of the budget is spent, and calls under way hold more."""
    deadline = time.monotonic() + PATIENCE
    while not spending.seen or spending.seen[-1][1] < spending.amount // 10 or not spending.seen[-1][2]:
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.02)
    await stage.kill(stage.any_replica())
    await stage.start()


async def _watch(stage: Stage, spending: Spending) -> None:
    began = time.monotonic()
    while True:
        try:
            read = await stage.ask("GET", f"/v2/budgets/{spending.budget}")
        except httpx.TransportError:  # it was just killed
            continue
        spending.seen.append((time.monotonic() - began, read["spent"], read["reserved"]))
        await asyncio.sleep(0.1)


async def _settled(stage: Stage, spending: Spending) -> dict[str, Any]:
    """The budget once nothing is reserved."""
    deadline = time.monotonic() + PATIENCE
    while True:
        read = await stage.ask("GET", f"/v2/budgets/{spending.budget}")
        if not read["reserved"] or time.monotonic() > deadline:
            return read
        await asyncio.sleep(0.5)


async def _counted(stage: Stage, key: int) -> int:
    """The sum of the key's usage rows."""
    connection = await connect(stage.dsn, role=None)
    try:
        return await connection.fetchval(
            "SELECT coalesce(sum(t.total_tokens), 0)::int FROM token_usage t JOIN usage_details d ON d.usage_id = t.id WHERE d.key_id = $1",
            key,
        )
    finally:
        await connection.close()


def _told(stage: Stage, spending: Spending, final: dict[str, Any], counted: int) -> Told:
    failures: list[str] = []
    if spending.most > spending.amount or counted > spending.amount:
        failures.append(f"over the budget of {spending.amount}: {spending.most} spent and reserved at a time, {counted} in the usage rows")
    if final["spent"] != counted:
        failures.append(f"not settled: the budget says {final['spent']}, the usage rows sum up to {counted}")
    if final["reserved"]:
        failures.append(f"{final['reserved']} tokens are still reserved")
    if spending.answers["200"] < stage.options.count // 2:
        failures.append(f"only {spending.answers['200']} chats fitted into a budget of {stage.options.count}")
    return Told(
        figures={
            "budget, tokens": spending.amount,
            "spent": final["spent"],
            "most spent and reserved at a time": spending.most,
            **{f"chats: {answer}": amount for answer, amount in spending.answers.items()},
        },
        charts={
            "budget": charts.lines(
                f"A budget of {spending.amount} tokens",
                {
                    "spent": [(at, spent) for at, spent, _ in spending.seen],
                    "spent and reserved": [(at, spent + reserved) for at, spent, reserved in spending.seen],
                },
                x="seconds",
                y="tokens",
            )
        },
        failures=failures,
    )


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("budget", __doc__ or "", count=100, duration=300, sample=12),
            perform,
            title="A budget on three replicas, one of them killed",
            required=("G1", "G5", "G10"),
            replicas=3,
        )
    )
