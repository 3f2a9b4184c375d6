"""Engines and targets: how work is done, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from pointsman.client.transport import Transport


class ExecutionEngine(TypedDict):
    """A way of doing work."""

    id: str
    name: str
    type: str
    provider: str
    handler_config: dict[str, Any]
    description: str | None
    is_default: bool
    created_at: str
    updated_at: str
    is_active: bool


class ExecutionTarget(TypedDict):
    """A place for work."""

    id: str
    name: str
    type: str
    connection_config: dict[str, Any]
    capacity: dict[str, Any]
    worker_pool: str
    created_at: str
    updated_at: str
    is_active: bool


class TargetHealth(TypedDict):
    """What a probe of a target saw."""

    status: str
    latency_ms: float
    detail: str
    isolation: str | None


class Engines:
    """`/v2/engines`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, kind: str | None = None, include_inactive: bool = False, most: int | None = None) -> Iterator[ExecutionEngine]:
        """By id."""
        return self._transport.pages("v2", "engines", query={"type": kind, "include_inactive": include_inactive}, most=most)

    def create(self, body: Mapping[str, Any]) -> ExecutionEngine:
        return self._transport.call("POST", "v2", "engines", body=body)

    def read(self, engine_id: str) -> ExecutionEngine:
        return self._transport.call("GET", "v2", "engines", engine_id)

    def update(self, engine_id: str, patch: Mapping[str, Any]) -> ExecutionEngine:
        return self._transport.call("PATCH", "v2", "engines", engine_id, body=patch)

    def delete(self, engine_id: str) -> None:
        self._transport.call("DELETE", "v2", "engines", engine_id)


class Targets:
    """`/v2/targets`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, kind: str | None = None, worker_pool: str | None = None, include_inactive: bool = False, most: int | None = None
    ) -> Iterator[ExecutionTarget]:
        """By id."""
        query = {"type": kind, "worker_pool": worker_pool, "include_inactive": include_inactive}
        return self._transport.pages("v2", "targets", query=query, most=most)

    def create(self, body: Mapping[str, Any]) -> ExecutionTarget:
        return self._transport.call("POST", "v2", "targets", body=body)

    def read(self, target_id: str) -> ExecutionTarget:
        return self._transport.call("GET", "v2", "targets", target_id)

    def update(self, target_id: str, patch: Mapping[str, Any]) -> ExecutionTarget:
        return self._transport.call("PATCH", "v2", "targets", target_id, body=patch)

    def delete(self, target_id: str) -> None:
        self._transport.call("DELETE", "v2", "targets", target_id)

    def health(self, target_id: str) -> TargetHealth:
        """What a probe sees now."""
        return self._transport.call("GET", "v2", "targets", target_id, "health")
