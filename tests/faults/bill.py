"""The bill: calls of which a third lose their client at a random byte, and a third get a provider that fails in one of many ways.

Whatever the provider reported, down to the record before a broken connection, is in `token_usage` to the token and once; what began to
answer and never reported is a row marked as estimated. Every wire format, as JSON and as streams, with tools and without.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from tests.e2e.gateways import FAKE_KEYS
from tests.faults import charts
from tests.faults.clients import Client
from tests.faults.options import read_options
from tests.faults.program import run
from tests.faults.report import Told
from tests.faults.stage import Stage

Kind = Literal["plain", "leaves", "faulty"]
AT_ONCE = 32
WEIGHTS = {"openai:gpt-4o": 5, "openai-responses:gpt-4o": 2, "anthropic:claude-sonnet-4-6": 4, "google:gemini-3.8-flash": 2}
# What may become of an answer, whichever way it is asked for; {k} is a random token of it.
ANYWAY = ("429", "500", "hang", "drip", "reset", "close", "truncate", "invalid", "cut", "nousage", "429;retry_after=0.2")
STREAMED = (
    *("twin", "cumulative", "hang;after={k}", "reset;after={k}", "close;after={k}", "truncate;after={k}", "invalid;after={k}"),
    *("error;after={k}", "drip;after={k}", "cut;after={k}", "close;late=1", "hang;late=1"),
)
# Long enough for a healthy call on a busy machine, short enough to wait for.
LIMITS = {"FIRST_BYTE": "4", "IDLE": "4", "TOTAL": "9"}
SECTIONS = ("OPENAI", "OPENAI_RESPONSES", "ANTHROPIC", "GOOGLE")


@dataclass(frozen=True)
class Deal:
    """One call as it was drawn."""

    kind: Kind
    agent: str
    message: str
    expected: str
    streams: bool
    fault: str
    work: float  # seconds that the upstream takes for it


async def perform(stage: Stage) -> Told:
    for _ in range(2):
        await stage.start(**_providers(stage))
    agents = {(model, tools): await _agent(stage, model, tools=tools) for model in WEIGHTS for tools in (False, True)}
    deals = [_deal(stage.chance, number, agents) for number in range(stage.options.count)]
    places, made = asyncio.Semaphore(AT_ONCE), Counter[str]()
    async with asyncio.TaskGroup() as group:
        for number, deal in enumerate(deals):
            await places.acquire()
            if stage.time_left < 0:
                break
            group.create_task(_call(stage.client(f"client-{number}"), deal, places, stage.chance))
            made[deal.kind] += 1
            made[deal.fault or deal.kind] += bool(deal.fault)
            if (number + 1) % 500 == 0:
                stage.options.say(f"{number + 1} calls")
    faults = {name.partition(";")[0]: 0.0 for name in made if name not in {"plain", "leaves", "faulty"}}
    for name in made.keys() - {"plain", "leaves", "faulty"}:
        faults[name.partition(";")[0]] += made[name]
    return Told(
        figures={"calls": made["plain"] + made["leaves"] + made["faulty"], "clients that left": made["leaves"], "faults": made["faulty"]},
        charts={"faults": charts.bars("What was done to the provider's answers", faults, x="fault", y="calls")},
        failures=[] if sum(made[kind] for kind in ("plain", "leaves", "faulty")) == stage.options.count else ["time ran out"],
    )


def _providers(stage: Stage) -> dict[str, str]:
    limits = {f"POINTSMAN_PROVIDERS__{section}__{name}": value for section in SECTIONS for name, value in LIMITS.items()}
    addresses = {"ANTHROPIC_BASE_URL": stage.upstream.anthropic_url, "GOOGLE_BASE_URL": stage.upstream.google_url}
    return {**FAKE_KEYS, **addresses, **limits}


async def _agent(stage: Stage, model: str, *, tools: bool) -> str:
    # Without `max_tokens` Anthropic's library streams behind our back.
    config: dict[str, Any] = {
        "model_settings": {"max_tokens": 2000},
        "tools": [{"type": "builtin", "name": "current_time"}] if tools else [],
    }
    return await stage.agent(model=model, **config)


def _deal(chance: Random, number: int, agents: dict[tuple[str, bool], str]) -> Deal:
    kinds: tuple[Kind, ...] = ("plain", "leaves", "faulty")
    kind, streams, tools = kinds[number % 3], chance.random() < 0.6, chance.random() < 0.3
    (model,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
    tokens, pace = chance.randrange(3, 40), chance.choice((0, 2, 5, 12))
    marks, fault = f"n={tokens} itl={pace}", ""
    if kind == "faulty":
        fault = chance.choice(ANYWAY + STREAMED if streams else ANYWAY).format(k=chance.randrange(1, tokens))
        marks += f" fault={fault}" + chance.choice(("", "", ";fail_times=1", ";fail_times=2"))
    elif chance.random() < 0.3:
        marks += f" cached={chance.randrange(200)} reasoning={chance.randrange(20)} think={chance.randrange(4)}"
    message = f"call {number} [[{marks}]]" + (" [[tool=current_time]]" if tools else "")
    expected = "".join(f"tok{place} " for place in range(tokens))
    return Deal(kind, agents[model, tools], message, expected, streams, fault, (1 + tools) * tokens * pace / 1000)


async def _call(client: Client, deal: Deal, places: asyncio.Semaphore, chance: Random) -> None:
    try:
        if deal.kind == "leaves":
            size, patience = chance.randrange(1, 400 + 130 * len(deal.expected) // 5), chance.uniform(0, deal.work * 1.3 + 0.05)
            # As often at a byte, which may never come, as at a moment.
            patience = patience if chance.random() < 0.5 else 20.0
            await client.depart(deal.agent, deal.message, size=size, patience=patience, streams=deal.streams, expected=deal.expected)
        elif deal.streams:
            await client.stream(deal.agent, deal.message, expected=deal.expected, faulty=deal.kind == "faulty")
        else:
            await client.chat(deal.agent, deal.message, expected=deal.expected, faulty=deal.kind == "faulty")
    finally:
        places.release()


if __name__ == "__main__":
    sys.exit(
        run(
            read_options("bill", __doc__ or "", count=3000, duration=420, sample=150),
            perform,
            title="Usage to the token, whatever client and provider do",
            required=("G1", "G5", "G7", "G8", "G10"),
            replicas=0,
        )
    )
