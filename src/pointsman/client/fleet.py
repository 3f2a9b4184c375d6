"""Workers: the processes that do jobs."""

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
