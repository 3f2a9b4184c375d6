"""Workers, the processes that do jobs, and breakers, which tell what they leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from pointsman.client.transport import Transport


class Worker(TypedDict):
    """A process that does jobs; `jobs` are the ids of those in hand."""

    id: str
    host: str
    pid: int
    version: str
    worker_pool: str
    slots: int
    isolation: str | None
    status: str
    jobs: list[str]
    started_at: str
    seen_at: str


class Workers:
    """`/v2/workers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, worker_pool: str | None = None, most: int | None = None) -> Iterator[Worker]:
        """By age."""
        return self._transport.pages("v2", "workers", query={"worker_pool": worker_pool}, most=most)


class Breaker(TypedDict):
    """An engine, a target or a model that has failed."""

    id: str
    kind: str
    subject: str
    state: str
    failures: int
    reason: str | None
    opened_at: str | None
    retry_at: str | None
    updated_at: str


class Breakers:
    """`/v2/breakers`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, state: str | None = None, most: int | None = None) -> Iterator[Breaker]:
        """By id."""
        return self._transport.pages("v2", "breakers", query={"state": state}, most=most)

    def reset(self, breaker_id: str) -> Breaker:
        """Close it: what it is about is tried again at once."""
        return self._transport.call("POST", "v2", "breakers", breaker_id, "reset")
