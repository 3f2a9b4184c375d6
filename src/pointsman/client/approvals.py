"""Approvals: what waits for a decision, and the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pointsman.client.shapes import Approval
from pointsman.client.transport import Query, Transport


class Approvals:
    """`/v2/approvals`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, query: Query, *, most: int | None = None) -> Iterator[Approval]:
        """Newest first; `query` may have status, run_id and job_id."""
        return self._transport.pages("v2", "approvals", query=query, most=most)

    def read(self, approval_id: str) -> Approval:
        return self._transport.call("GET", "v2", "approvals", approval_id)

    def approve(self, approval_id: str, *, note: str | None = None, args: Mapping[str, Any] | None = None) -> Approval:
        """With edited arguments where `args` are given."""
        body = {name: value for name, value in {"note": note, "args": args}.items() if value is not None}
        return self._transport.call("POST", "v2", "approvals", approval_id, "approve", body=body)

    def deny(self, approval_id: str, *, note: str | None = None) -> Approval:
        return self._transport.call("POST", "v2", "approvals", approval_id, "deny", body={} if note is None else {"note": note})
