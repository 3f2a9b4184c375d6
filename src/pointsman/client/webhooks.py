"""Webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict

from pointsman.client.transport import Transport


class Webhook(TypedDict):
    """An endpoint that is told what happens; `secret` is there when it is new."""

    id: str
    tenant_id: str | None
    name: str | None
    url: str
    event_types: list[str]
    enabled: bool
    disabled_reason: str | None
    failures: int
    previous_secret_until: str | None
    created_at: str
    updated_at: str
    secret: NotRequired[str]


class Delivery(TypedDict):
    """One event for one endpoint."""

    id: str
    event_id: str
    event_type: str
    payload: str
    status: str
    attempts: int
    next_at: str | None
    last_status: int | None
    last_error: str | None
    created_at: str
    completed_at: str | None


class Tested(TypedDict):
    """What came of a test event."""

    delivery_id: str
    event_id: str
    delivered: bool
    status: int | None
    answer: str
    error: str | None


class Webhooks:
    """`/v2/webhooks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, most: int | None = None) -> Iterator[Webhook]:
        """Newest first."""
        return self._transport.pages("v2", "webhooks", query={}, most=most)

    def create(self, body: Mapping[str, Any]) -> Webhook:
        """Have a URL told what happens; with its secret."""
        return self._transport.call("POST", "v2", "webhooks", body=body)

    def read(self, webhook_id: str) -> Webhook:
        """One of them."""
        return self._transport.call("GET", "v2", "webhooks", webhook_id)

    def update(self, webhook_id: str, patch: Mapping[str, Any]) -> Webhook:
        """Change, disable or enable it."""
        return self._transport.call("PATCH", "v2", "webhooks", webhook_id, body=patch)

    def delete(self, webhook_id: str) -> None:
        """Delete it."""
        self._transport.call("DELETE", "v2", "webhooks", webhook_id)

    def deliveries(self, webhook_id: str, *, status: str | None = None, most: int | None = None) -> Iterator[Delivery]:
        """Newest first."""
        return self._transport.pages("v2", "webhooks", webhook_id, "deliveries", query={"status": status}, most=most)

    def test(self, webhook_id: str) -> Tested:
        """Send a test event now."""
        return self._transport.call("POST", "v2", "webhooks", webhook_id, "test", body={})

    def replay(self, webhook_id: str, body: Mapping[str, Any]) -> int:
        """Send deliveries again; how many."""
        return self._transport.call("POST", "v2", "webhooks", webhook_id, "replay", body=body)["replayed"]

    def rotate_secret(self, webhook_id: str) -> Webhook:
        """With its new secret."""
        return self._transport.call("POST", "v2", "webhooks", webhook_id, "rotate-secret", body={})
