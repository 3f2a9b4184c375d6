"""How usage goes when it is out of date, a bounded number of rows at a time."""

from __future__ import annotations

from datetime import timedelta

from pointsman.kit.db import Connection


async def expire_usage(connection: Connection, kept: timedelta, most: int) -> int:
    """Delete at most `most` calls counted longer than `kept` ago, with their details; how many."""
    rows = await connection.fetch(
        """
        DELETE FROM token_usage WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM token_usage WHERE created_at < clock_timestamp() - $1::interval ORDER BY created_at LIMIT $2
        )) RETURNING 1
        """,
        kept,
        most,
    )
    return len(rows)
