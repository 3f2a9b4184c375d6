"""Schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from pointsman.client.transport import Transport


class Schedule(TypedDict):
    """When an agent or a team is asked, and what."""

    id: str
    tenant_id: str | None
    name: str | None
    subject_type: str
    subject_id: str
    cron: str
    timezone: str
    missed: str
    request: dict[str, Any]
    key_id: int
    paused: bool
    next_at: str | None
    created_at: str
    updated_at: str
    is_active: bool


class Fire(TypedDict):
    """A time that came."""

    due_at: str
    status: str
    run_id: str | None
    problem: dict[str, Any] | None


class Schedules:
    """`/v2/schedules`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, subject_id: str | None = None, most: int | None = None) -> Iterator[Schedule]:
        """By id."""
        return self._transport.pages("v2", "schedules", query={"subject_id": subject_id}, most=most)

    def create(self, body: Mapping[str, Any]) -> Schedule:
        """Have an agent or a team asked by the clock."""
        return self._transport.call("POST", "v2", "schedules", body=body)

    def read(self, schedule_id: str) -> Schedule:
        """One of them."""
        return self._transport.call("GET", "v2", "schedules", schedule_id)

    def update(self, schedule_id: str, patch: Mapping[str, Any]) -> Schedule:
        """Change, pause or take it up."""
        return self._transport.call("PATCH", "v2", "schedules", schedule_id, body=patch)

    def fires(self, schedule_id: str, *, most: int | None = None) -> Iterator[Fire]:
        """The times that came, newest first."""
        return self._transport.pages("v2", "schedules", schedule_id, "fires", most=most)

    def delete(self, schedule_id: str) -> None:
        """Delete it."""
        self._transport.call("DELETE", "v2", "schedules", schedule_id)
