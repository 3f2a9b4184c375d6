"""Coordinating teams of scripted agents, and what a reader makes of their streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from tests.e2e.calling import Caller, Event, EventReader, unique


def task(agent: str, what: str, call_id: str) -> dict[str, Any]:
    """A leader's call that gives a member a task."""
    return {"name": f"delegate_to_{agent}", "args": {"task": what}, "id": call_id}


async def scripted(caller: Caller, *turns: dict[str, Any], agent_id: str | None = None, **config: Any) -> str:
    return await caller.agent(model="scripted:play", script={"turns": list(turns)}, agent_id=agent_id, **config)


async def team_of(caller: Caller, leader: str, *members: str, **fields: Any) -> str:
    agents = [{"agent_id": leader, "role": "leader"}, *({"agent_id": member} for member in members)]
    made = await caller.post("/v2/teams", {"id": unique("team"), "name": "Desk", "mode": "coordinate", "agents": agents, **fields})
    return made["id"]


async def try_run(caller: Caller, team: str, message: str = "Go.", *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return await caller.http.post(f"/v2/teams/{team}/runs", json={"message": message, **body}, headers=headers)


async def run(caller: Caller, team: str, message: str = "Go.", **body: Any) -> dict[str, Any]:
    """The answer, which must be good."""
    answer = await try_run(caller, team, message, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@asynccontextmanager
async def streaming(caller: Caller, team: str, message: str = "Go.", **body: Any) -> AsyncGenerator[EventReader]:
    content = {"message": message, "stream": True, "stream_verbosity": "full", **body}
    async with caller.http.stream("POST", f"/v2/teams/{team}/runs", json=content) as response:
        if not response.is_success:
            raise AssertionError((await response.aread()).decode())
        yield EventReader(response)


async def streamed(caller: Caller, team: str, message: str = "Go.", **body: Any) -> list[Event]:
    async with streaming(caller, team, message, **body) as reader:
        return await reader.rest()


def texts_of(events: Iterable[Event]) -> dict[int, str]:
    """What a reader has who keeps text by the number of its message alone."""
    texts: dict[int, str] = {}
    for event in events:
        if event.name == "message.delta":
            texts[event.data["message"]] = texts.get(event.data["message"], "") + event.data["text"]
        elif event.name == "message.reset":
            texts.pop(event.data["message"], None)
    return texts


def said_by(events: Iterable[Event]) -> list[tuple[str | None, str]]:
    """Whole messages in their order, with the member that said them, None for the leader."""
    return [(event.data.get("member"), event.data["text"]) for event in events if event.name == "message.completed"]
