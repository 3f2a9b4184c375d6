"""A caller of the gateway: requests, event streams that are read byte by byte, and what a client makes of their events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
from tests.e2e.connecting import Transport

TERMINAL = ("run.completed", "run.failed", "run.cancelled")


class Event(NamedTuple):
    """One frame of a stream, with its bytes as they came."""

    id: int
    name: str
    raw: bytes
    data: dict[str, Any]


class EventReader:
    """Reads the frames of a stream; comments are left out."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._read()

    @property
    def run_id(self) -> str:
        return self.response.headers["location"].rsplit("/", 1)[-1]

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def take(self, count: int) -> list[Event]:
        """The next so many events."""
        return [await anext(self._events) for _ in range(count)]

    async def until(self, name: str) -> list[Event]:
        """Events up to and with the first of that name."""
        taken: list[Event] = []
        async for event in self._events:
            taken.append(event)
            if event.name == name:
                return taken
        raise AssertionError(f"the stream ended without {name}: {[event.name for event in taken]}")

    async def rest(self) -> list[Event]:
        """Events up to the end of the stream."""
        return [event async for event in self._events]

    async def _read(self) -> AsyncGenerator[Event]:
        pending = b""
        async for piece in self.response.aiter_raw():
            *frames, pending = (pending + piece).split(b"\n\n")
            for raw in frames:
                event = _parsed(raw)
                if event is not None:
                    yield event


class Caller:
    """Calls a gateway with one key."""

    def __init__(self, url: str, key: str, **headers: str) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        headers = {"authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=60, transport=Transport(limits))

    async def get(self, path: str, **query: object) -> Any:
        """The JSON of an answer that must be good."""
        return _good(await self.http.get(path, params={name: str(value) for name, value in query.items() if value is not None}))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        return _good(await self.http.post(path, json=body))

    async def patch(self, path: str, body: dict[str, Any]) -> Any:
        return _good(await self.http.patch(path, json=body))

    async def agent(self, *, model: str = "openai:gpt-4o", template: str = "You help.", agent_id: str | None = None, **config: Any) -> str:
        """Make an agent; its id."""
        agent_id = agent_id or unique("agent")
        made = await self.post("/v2/agents", {"id": agent_id, "name": agent_id, "template": template, "config": {"model": model, **config}})
        return made["id"]

    async def chat(self, agent: str, message: str, **body: Any) -> dict[str, Any]:
        """The JSON answer of a turn that must be good."""
        return _good(await self.try_chat(agent, message, **body))

    async def try_chat(self, agent: str, message: str, *, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return await self.http.post(f"/v2/agents/{agent}/chat", json={"message": message, **body}, headers=headers)

    @asynccontextmanager
    async def stream(self, agent: str, message: str, *, headers: dict[str, str] | None = None, **body: Any) -> AsyncGenerator[EventReader]:
        """A turn as a stream; leaving the block leaves the stream."""
        content = {"message": message, "stream": True, **body}
        async with self.http.stream("POST", f"/v2/agents/{agent}/chat", json=content, headers=headers) as response:
            yield EventReader(await _good_stream(response))

    @asynccontextmanager
    async def follow(self, run_id: str, after: int | None = None, verbosity: str | None = None) -> AsyncGenerator[EventReader]:
        """A run's events above `after`."""
        query = {"stream_verbosity": verbosity} if verbosity else {}
        headers = {} if after is None else {"last-event-id": str(after)}
        async with self.http.stream("GET", f"/v2/runs/{run_id}/events", params=query, headers=headers) as response:
            yield EventReader(await _good_stream(response))

    async def replay(self, run_id: str, after: int | None = None, verbosity: str | None = None) -> list[Event]:
        """A run's events to its end."""
        async with self.follow(run_id, after, verbosity) as reader:
            return await reader.rest()

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it has reached its end."""
        await self.replay(run_id, verbosity="result")
        return await self.get(f"/v2/runs/{run_id}")

    async def aclose(self) -> None:
        await self.http.aclose()


def unique(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:12]}"


def names(events: Iterable[Event]) -> list[str]:
    return [event.name for event in events]


def text_of(events: Iterable[Event]) -> str:
    """What a client shows of the last message when the stream has ended: its deltas, dropped where a reset says so."""
    done, current = "", ""
    for event in events:
        if event.name == "message.delta":
            current += event.data["text"]
        elif event.name == "message.reset":
            current = ""
        elif event.name == "message.completed":
            done, current = current, ""
    return current or done


def answer_of(events: list[Event]) -> dict[str, Any]:
    """The last event's body in the shape of the JSON answer."""
    return {name: value for name, value in events[-1].data.items() if name not in {"seq", "at"}}


def _parsed(raw: bytes) -> Event | None:
    lines = [line for line in raw.split(b"\n") if not line.startswith(b":") and not line.startswith(b"retry:")]
    if not lines:
        return None
    fields = dict(line.split(b": ", 1) for line in lines)
    return Event(int(fields[b"id"]), fields[b"event"].decode(), raw, json.loads(fields[b"data"]))


def _good(response: httpx.Response) -> Any:
    assert response.is_success, f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
    return response.json() if response.content else None


async def _good_stream(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        await response.aread()
        raise AssertionError(f"{response.status_code} {response.text}")
    return response
