"""Runs, sessions and memories: what was said, and what was kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pointsman.client.shapes import Memory, Message, Run, Session
from pointsman.client.streaming import PATIENCE, Event, Follower
from pointsman.client.transport import Query, Transport


class Runs:
    """`/v2/runs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, query: Query, *, most: int | None = None) -> Iterator[Run]:
        """Newest first; `query` may have status, subject, session_id and user_id."""
        return self._transport.pages("v2", "runs", query=query, most=most)

    def read(self, run_id: str) -> Run:
        return self._transport.call("GET", "v2", "runs", run_id)

    def cancel(self, run_id: str) -> Run:
        return self._transport.call("POST", "v2", "runs", run_id, "cancel")

    def resume(self, run_id: str) -> Run:
        return self._transport.call("POST", "v2", "runs", run_id, "resume")

    def events(self, run_id: str, *, after: int = 0, verbosity: str | None = None, patience: timedelta = PATIENCE) -> Iterator[Event]:
        """The events above `after`, then those that come, to the end of the run; `patience` is how long a silence of the gateway may be."""
        return Follower(self._transport, patience=patience, run_id=run_id, after=after).follow(verbosity)


class Sessions:
    """`/v2/sessions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, user_id: str | None = None, agent_id: str | None = None, most: int | None = None) -> Iterator[Session]:
        """Newest first."""
        return self._transport.pages("v2", "sessions", query={"user_id": user_id, "agent_id": agent_id}, most=most)

    def read(self, session_id: str) -> Session:
        return self._transport.call("GET", "v2", "sessions", session_id)

    def messages(self, session_id: str, *, most: int | None = None) -> Iterator[Message]:
        """Oldest first."""
        return self._transport.pages("v2", "sessions", session_id, "messages", most=most)

    def delete(self, session_id: str) -> None:
        self._transport.call("DELETE", "v2", "sessions", session_id)


class Memories:
    """`/v2/memories`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, user_id: str | None = None, agent_id: str | None = None, most: int | None = None) -> Iterator[Memory]:
        """Newest first."""
        return self._transport.pages("v2", "memories", query={"user_id": user_id, "agent_id": agent_id}, most=most)

    def create(self, user_id: str, agent_id: str, content: str) -> Memory:
        return self._transport.call("POST", "v2", "memories", body={"user_id": user_id, "agent_id": agent_id, "content": content})

    def update(self, memory_id: str, content: str) -> Memory:
        return self._transport.call("PATCH", "v2", "memories", memory_id, body={"content": content})

    def delete(self, memory_id: str) -> None:
        self._transport.call("DELETE", "v2", "memories", memory_id)
