"""Usage on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Group = Literal["day", "agent_id", "user_id", "session_id", "model", "key_id", "tenant_id"]
GROUPS: tuple[Group, ...] = ("day", "agent_id", "user_id", "session_id", "model", "key_id", "tenant_id")


class UsageTotals(BaseModel):
    """Sums of token_usage rows. `cost` is in US dollars and covers the `calls - unpriced_calls` whose price is known."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: float
    calls: int
    estimated_calls: int
    unpriced_calls: int


class UsageGroup(UsageTotals):
    """The sums of one group, with the values it is grouped by (`day` as YYYY-MM-DD in UTC)."""

    model_config = ConfigDict(extra="allow")


class UsageReport(BaseModel):
    """The groups, then everything together."""

    items: list[UsageGroup]
    total: UsageTotals
