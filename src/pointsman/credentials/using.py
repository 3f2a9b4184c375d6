"""For whom a tool is called: whose tokens it may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunUser:
    """The user for whom a run acts; `tenant_id` as runs keep it, `user_id` is None where the run names nobody."""

    tenant_id: str
    user_id: str | None
    run_id: str
