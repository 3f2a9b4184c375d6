"""Clients whose gateway dies under them, and what must hold of their runs when all is over."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.e2e.calling import TERMINAL, Caller, Event, names, text_of, unique

from pointsman.kit.db import connect


@dataclass
class Listener:
    """One client with one stream: what it has seen, and where it comes back."""

    agent: str
    message: str
    text: str  # the answer that is to come
    calls: int = 1  # of the model
    session: str = field(default_factory=lambda: unique("session"))
    run_id: str = ""
    seen: list[Event] = field(default_factory=list[Event])

    async def listen(self, caller: Caller) -> None:
        """Read until the stream ends or breaks."""
        with suppress(httpx.TransportError):
            async with caller.stream(self.agent, self.message, session_id=self.session) as reader:
                self.run_id = reader.run_id
                async for event in reader:
                    self.seen.append(event)

    async def come_back(self, caller: Caller) -> None:
        """Resume by id until the run has ended."""
        if not self.run_id:  # it broke before there was an answer
            runs = (await caller.get("/v2/runs", session_id=self.session))["items"]
            self.run_id = runs[0]["id"]
        while not self.has_ended:
            after = self.seen[-1].id if self.seen else None
            with suppress(httpx.TransportError):
                async with caller.follow(self.run_id, after) as reader:
                    async for event in reader:
                        self.seen.append(event)

    @property
    def has_ended(self) -> bool:
        return bool(self.seen) and self.seen[-1].name in TERMINAL


async def assert_whole(dsn: str, caller: Caller, listener: Listener) -> None:
    """One end; ids rise; the text is right after resets; what was seen is replayed as it was; everything is counted once."""
    seen = listener.seen
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids)), "ids strictly increase"
    assert [name for name in names(seen) if name in TERMINAL] == ["run.completed"], names(seen)
    run = await caller.get(f"/v2/runs/{listener.run_id}")
    assert run["status"] == "completed"
    assert text_of(seen) == run["content"] == seen[-1].data["content"] == listener.text
    _assert_replayed(seen, await caller.replay(listener.run_id))
    await _assert_recorded_once(dsn, listener)


def _assert_replayed(seen: list[Event], replayed: list[Event]) -> None:
    stored = {event.id: event for event in replayed}
    assert [event.id for event in replayed] == sorted(stored)
    resets = [event.id for event in seen if event.name == "message.reset"]
    for event in seen:
        if event.id in stored:
            assert event.raw == stored[event.id].raw
        else:
            # Sent, but not stored when the process died: then it was a piece of text that is void.
            assert event.name == "message.delta"
            assert any(reset > event.id for reset in resets)
    assert {event.id for event in replayed if event.name != "message.delta"} == {
        event.id for event in seen if event.name != "message.delta"
    }


async def _assert_recorded_once(dsn: str, listener: Listener) -> None:
    connection = await connect(dsn, role=None)
    try:
        roles = await connection.fetch("SELECT role FROM messages WHERE run_id = $1 ORDER BY position", listener.run_id)
        usages = await connection.fetch(
            "SELECT call, is_estimated FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE run_id = $1 ORDER BY call",
            listener.run_id,
        )
    finally:
        await connection.close()
    assert [row["role"] for row in roles] == ["user", *["assistant", "tool"] * (listener.calls - 1), "assistant"]
    assert [row["call"] for row in usages] == list(range(len(usages)))
    reported = [row for row in usages if not row["is_estimated"]]
    assert len(reported) == listener.calls, "each call that the provider reported is counted once"


@dataclass
class Talker:
    """A client that takes one short turn after the other in one session, and notes which were acknowledged."""

    agent: str
    session: str = field(default_factory=lambda: unique("session"))
    acknowledged: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # run, message
    statuses: list[int] = field(default_factory=list[int])
    odd: list[str] = field(default_factory=list[str])
    asked: int = 0

    async def talk(self, caller: Caller, stop: asyncio.Event, *, pause: float = 0.01) -> None:
        """Until told to stop, or the gateway is gone."""
        while not stop.is_set():
            self.asked += 1
            message = f"{self.session} message {self.asked} [[n=3 itl=5]]"
            try:
                response = await caller.try_chat(self.agent, message, session_id=self.session)
            except httpx.TransportError:
                return
            self._note(response, message)
            await asyncio.sleep(pause)

    def _note(self, response: httpx.Response, message: str) -> None:
        status = response.status_code
        # A turn that was answered 503 may have been opened all the same: until it is taken back its session is busy.
        taken_back = status == 409 and bool({503, 409} & set(self.statuses[-1:]))
        self.statuses.append(status)
        if status == 200:
            self.acknowledged.append((response.json()["run_id"], message))
        elif not (status == 503 or taken_back) or "retry-after" not in response.headers:
            self.odd.append(f"{status} {response.text}")


async def assert_nothing_lost(caller: Caller, talker: Talker) -> None:
    """Every acknowledged turn is in the session, completed, once and in order; what was not acknowledged has ended or ends."""
    messages: list[dict[str, Any]] = []
    cursor = None
    while True:
        response = await caller.http.get(
            f"/v2/sessions/{talker.session}/messages", params={"limit": 100, **({"cursor": cursor} if cursor else {})}
        )
        if response.status_code == 404:
            break
        page = response.json()
        messages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    completed = [message for message in messages if message["run_status"] == "completed"]
    told = [(message["run_id"], message["text"]) for message in completed if message["role"] == "user"]
    assert len({run for run, _ in told}) == len(told)
    assert [turn for turn in told if turn in talker.acknowledged] == talker.acknowledged, json.dumps(told)
    answers = [message["text"] for message in completed if message["role"] == "assistant"]
    assert answers == ["tok0 tok1 tok2 "] * len(told)


async def wait_for_ends(caller: Caller, within: float) -> None:
    """Until no run is under way."""
    async with asyncio.timeout(within):
        while (await caller.get("/v2/runs", status="running", limit=1))["items"]:
            await asyncio.sleep(0.1)
