"""Erasures on the wire."""

from __future__ import annotations

from typing import Literal

from pointsman.web.wire import Moment, Read


class ErasureRead(Read):
    """An erasure; `counts` are the rows that are gone, or made nobody's, by kind."""

    id: str
    tenant_id: str | None
    user_id: str | None
    status: Literal["running", "completed"]
    counts: dict[str, int]
    requested_at: Moment
    completed_at: Moment | None
