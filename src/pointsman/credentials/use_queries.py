"""Every statement on the uses of credentials."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.credentials.using import Use
from pointsman.kit.db import Connection, Record

# Ages instead of times: the database's clock is the one that replicas share.
_INSERT = """
INSERT INTO token_uses (at, tenant_id, user_id, integration_key, provider, run_id, tool)
SELECT clock_timestamp() - make_interval(secs => age), tenant_id, user_id, integration_key, provider, run_id, tool
FROM unnest($1::float8[], $2::varchar[], $3::varchar[], $4::varchar[], $5::varchar[], $6::varchar[], $7::varchar[])
    AS u (age, tenant_id, user_id, integration_key, provider, run_id, tool)
"""
_LIST = """
SELECT id, at, provider, run_id, tool FROM token_uses
WHERE tenant_id = $1 AND user_id = $2 AND integration_key = $3 AND ($4::bigint IS NULL OR id < $4) ORDER BY id DESC LIMIT $5
"""


async def insert_uses(connection: Connection, uses: Sequence[tuple[Use, float]]) -> None:
    """Uses with their ages in seconds."""
    await connection.execute(
        _INSERT,
        [age for _, age in uses],
        [use.tenant_id for use, _ in uses],
        [use.user_id for use, _ in uses],
        [use.integration_key for use, _ in uses],
        [use.provider for use, _ in uses],
        [use.run_id for use, _ in uses],
        [use.tool for use, _ in uses],
    )


async def list_uses(
    connection: Connection, tenant: str, user_id: str, integration_key: str, *, before: int | None, limit: int
) -> list[Record]:
    """Of one credential, newest first."""
    return await connection.fetch(_LIST, tenant, user_id, integration_key, before, limit)
