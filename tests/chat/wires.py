"""The providers that the chat tests go through, and a turn taken either way."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from tests.e2e.calling import Caller, Event, answer_of

WIRES = {
    "openai": "openai:gpt-4o",
    "openai-responses": "openai-responses:gpt-4o",
    "anthropic": "anthropic:claude-sonnet-4-5",
    "google": "google:gemini-2.5-flash",
    "compatible": "vllm:llama",
}

each_wire = pytest.mark.parametrize("model", WIRES.values(), ids=WIRES)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["json", "streamed"])


class Turn(NamedTuple):
    """A turn that ended well; `events` is empty where it was not streamed."""

    answer: dict[str, Any]
    events: list[Event]

    @property
    def run_id(self) -> str:
        return self.answer["run_id"]


async def take_turn(caller: Caller, agent: str, message: str, *, streamed: bool, **body: Any) -> Turn:
    if not streamed:
        return Turn(await caller.chat(agent, message, **body), [])
    async with caller.stream(agent, message, **body) as reader:
        events = await reader.rest()
    assert events[-1].name == "run.completed", events[-1].raw
    return Turn(answer_of(events), events)
