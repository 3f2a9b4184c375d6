"""Every statement about usage; each returns rows or None."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from pointsman.kit.db import Connection, Record
from pointsman.usage.schemas import Group


async def sum_of_run(connection: Connection, run_id: str) -> Record:
    """What the model calls of a run have consumed so far: calls, tokens, is_estimated, cost (null where one is unknown)."""
    row = await connection.fetchrow(
        """
        SELECT coalesce(max(d.call) + 1, 0) AS calls, coalesce(sum(t.prompt_tokens), 0)::int AS prompt_tokens,
               coalesce(sum(t.completion_tokens), 0)::int AS completion_tokens, coalesce(bool_or(t.is_estimated), false) AS is_estimated,
               CASE WHEN count(*) = count(d.cost) THEN coalesce(sum(d.cost), 0) END AS cost
        FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE d.run_id = $1
        """,
        run_id,
    )
    assert row is not None
    return row


async def sum_of_children(connection: Connection, run_id: str) -> list[Record]:
    """The same for the runs of a team's members, by agent (`subject`)."""
    return await connection.fetch(
        """
        SELECT r.subject, count(*)::int AS calls, sum(t.prompt_tokens)::int AS prompt_tokens,
               sum(t.completion_tokens)::int AS completion_tokens, bool_or(t.is_estimated) AS is_estimated,
               CASE WHEN count(*) = count(d.cost) THEN sum(d.cost) END AS cost
        FROM runs r JOIN usage_details d ON d.run_id = r.id JOIN token_usage t ON t.id = d.usage_id
        WHERE r.parent_run_id = $1 GROUP BY r.subject ORDER BY r.subject
        """,
        run_id,
    )


_COLUMNS: dict[Group, str] = {
    "day": "to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "agent_id": "t.agent_id",
    "user_id": "t.user_id",
    "session_id": "t.session_id",
    "model": "t.model",
    "key_id": "d.key_id",
    "tenant_id": "nullif(d.tenant_id, '')",
}

_SUMS = """
    coalesce(sum(t.prompt_tokens), 0)::bigint AS prompt_tokens, coalesce(sum(t.completion_tokens), 0)::bigint AS completion_tokens,
    coalesce(sum(t.total_tokens), 0)::bigint AS total_tokens, coalesce(sum(d.cached_tokens), 0)::bigint AS cached_tokens,
    coalesce(sum(d.reasoning_tokens), 0)::bigint AS reasoning_tokens, coalesce(sum(d.cost), 0)::float8 AS cost, count(*) AS calls,
    count(*) FILTER (WHERE t.is_estimated) AS estimated_calls, count(*) FILTER (WHERE d.cost IS NULL) AS unpriced_calls
"""


class Filters(NamedTuple):
    """Which rows are summed; a tenant of None sees all."""

    tenant: str | None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    agent_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    key_id: int | None = None


async def sum_usage(connection: Connection, filters: Filters, groups: Sequence[Group], limit: int) -> list[Record]:
    """One row a group, ordered by the group's values; without groups one row for all."""
    keys = [f"{_COLUMNS[group]} AS {group}" for group in groups]
    numbers = ", ".join(str(number) for number in range(1, len(groups) + 1))
    statement = f"""
        SELECT {", ".join([*keys, _SUMS])}
        FROM token_usage t JOIN usage_details d ON d.usage_id = t.id
        WHERE ($1::varchar IS NULL OR d.tenant_id = $1) AND ($2::timestamptz IS NULL OR t.created_at >= $2)
          AND ($3::timestamptz IS NULL OR t.created_at < $3) AND ($4::varchar IS NULL OR t.agent_id = $4)
          AND ($5::varchar IS NULL OR t.user_id = $5) AND ($6::varchar IS NULL OR t.session_id = $6)
          AND ($7::varchar IS NULL OR t.model = $7) AND ($8::int IS NULL OR d.key_id = $8)
        {f"GROUP BY {numbers} ORDER BY {numbers}" if groups else ""}
        LIMIT $9
    """
    return await connection.fetch(statement, *filters, limit)


async def last_usage_id(connection: Connection) -> int:
    """The last number of the sequence behind `token_usage.id`."""
    return await connection.fetchval("SELECT last_value FROM token_usage_id_seq")
