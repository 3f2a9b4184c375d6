"""One row per model call, written in the same statement as the step or the end of the run it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from pointsman.llm.port import Spend


class UsageRow(NamedTuple):
    """A call to be counted; `call` numbers the model calls of the run from 0."""

    run_id: str
    call: int
    agent_id: str | None
    session_id: str | None
    user_id: str | None
    key_id: int | None
    tenant_id: str
    spend: Spend
    cost: Decimal | None

    def event(self) -> dict[str, Any]:
        """The payload of `usage.recorded`."""
        usage = self.spend.usage
        return {
            "model": self.spend.model,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "is_estimated": usage.is_estimated,
            "cost": None if self.cost is None else float(self.cost),
            "latency_ms": self.spend.latency_ms,
        }


_MOST = 2**31 - 1  # what the columns hold; a provider that reports more is not to cost us the row


def columns(rows: Sequence[UsageRow]) -> list[list[Any]]:
    """The rows as parallel arrays for `unnest`, in the order of `UNNEST`."""
    usages = [row.spend.usage for row in rows]
    return [
        [row.run_id for row in rows],
        [row.call for row in rows],
        [row.agent_id for row in rows],
        [row.session_id for row in rows],
        [row.user_id for row in rows],
        [row.key_id for row in rows],
        [row.tenant_id for row in rows],
        [row.spend.model for row in rows],
        [_bounded(usage.prompt_tokens) for usage in usages],
        [_bounded(usage.completion_tokens) for usage in usages],
        [usage.is_estimated for usage in usages],
        [_bounded(usage.cached_tokens) for usage in usages],
        [_bounded(usage.cache_write_tokens) for usage in usages],
        [_bounded(usage.reasoning_tokens) for usage in usages],
        [row.cost for row in rows],
        [row.spend.latency_ms for row in rows],
    ]


def _bounded(tokens: int) -> int:
    return min(tokens, _MOST)


TYPES = (
    *("varchar", "int", "varchar", "varchar", "varchar", "int", "varchar", "varchar"),
    *("int", "int", "bool", "int", "int", "int", "numeric", "int"),
)
NAMES = (
    "run_id, call, agent_id, session_id, user_id, key_id, tenant_id, model, prompt_tokens, completion_tokens, is_estimated, cached_tokens, "
    "cache_write_tokens, reasoning_tokens, cost, latency_ms"
)


def counting(source: str) -> str:
    """Common table expressions that count the rows of `source` (columns NAMES) once, however often the statement is repeated.

    `spent` are those that this statement counted. The conflict is with the statement's own twin: one whose connection was lost may
    still be under way, and commit after this one has looked.
    """
    return f"""
    fresh AS (
        SELECT nextval('token_usage_id_seq')::int AS usage_id, s.* FROM {source} s
        WHERE NOT EXISTS (SELECT FROM usage_details d WHERE d.run_id = s.run_id AND d.call = s.call)
    ), detailed AS (
        INSERT INTO usage_details (usage_id, run_id, call, key_id, tenant_id, cached_tokens, cache_write_tokens, reasoning_tokens, cost,
                                   latency_ms)
        SELECT usage_id, run_id, call, key_id, tenant_id, cached_tokens, cache_write_tokens, reasoning_tokens, cost, latency_ms FROM fresh
        ON CONFLICT (run_id, call) DO NOTHING
        RETURNING usage_id
    ), spent AS (
        SELECT f.* FROM fresh f JOIN detailed d ON d.usage_id = f.usage_id
    ), counted AS (
        INSERT INTO token_usage (id, agent_id, session_id, user_id, model, prompt_tokens, completion_tokens, total_tokens, is_estimated)
        SELECT usage_id, agent_id, session_id, user_id, model, prompt_tokens, completion_tokens,
               least(prompt_tokens::bigint + completion_tokens, 2147483647)::int, is_estimated
        FROM spent
    )"""  # noqa: S608 - `source` is a constant of the caller
