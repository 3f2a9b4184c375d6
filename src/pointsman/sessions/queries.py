"""Every statement about sessions, messages and memories; each returns rows or None."""

from __future__ import annotations

import datetime as dt

from pointsman.kit.db import Connection, Record

# The turns of session $2 of tenant $1; a run that has expired has left behind what history needs of it.
_TURNS = """(
    SELECT id, ordinal, subject, status FROM runs WHERE tenant_id = $1 AND session_id = $2
    UNION ALL
    SELECT run_id, ordinal, subject, status FROM past_turns WHERE tenant_id = $1 AND session_id = $2
)"""

# The newest completed runs come off an index, so the cost does not grow with the session.
_HISTORY = f"""
SELECT r.subject, m.position, m.content::text AS content
FROM (
    SELECT id, ordinal, subject FROM {_TURNS} t
    WHERE status = 'completed' AND id <> $3
    ORDER BY ordinal DESC LIMIT $4
) r
JOIN messages m ON m.run_id = r.id
ORDER BY r.ordinal, m.position
"""


async def list_history(connection: Connection, *, tenant: str, session_id: str, run_id: str, runs: int) -> list[Record]:
    """Messages of the last completed runs of the session, oldest first; an unfinished or failed run is no history."""
    return await connection.fetch(_HISTORY, tenant, session_id, run_id, runs)


async def count_answers(connection: Connection, *, tenant: str, session_id: str, run_id: str) -> int:
    """How many times the model answered in earlier completed runs of the session."""
    return await connection.fetchval(
        f"""
        SELECT count(*) FROM messages m JOIN {_TURNS} r ON r.id = m.run_id
        WHERE m.tenant_id = $1 AND m.session_id = $2 AND m.role = 'assistant' AND r.id <> $3 AND r.status = 'completed'
        """,
        tenant,
        session_id,
        run_id,
    )


async def list_run_messages(connection: Connection, run_id: str) -> list[str]:
    """The recorded messages of one run, as JSON texts in order."""
    rows = await connection.fetch("SELECT content::text AS content FROM messages WHERE run_id = $1 ORDER BY position", run_id)
    return [row["content"] for row in rows]


async def list_sessions(
    connection: Connection,
    *,
    tenant: str | None,
    user_id: str | None,
    agent_id: str | None,
    before: tuple[dt.datetime, str, str] | None,
    limit: int,
) -> list[Record]:
    """Newest first, without those that members of teams have for themselves."""
    at, owner, last = before or (None, None, None)
    return await connection.fetch(
        """
        SELECT tenant_id, id, user_id, agent_id, created_at, updated_at FROM sessions
        WHERE ($1::varchar IS NULL OR tenant_id = $1) AND ($2::varchar IS NULL OR user_id = $2) AND ($3::varchar IS NULL OR agent_id = $3)
          AND ($4::timestamptz IS NULL OR (created_at, tenant_id, id) < ($4, $5::varchar, $6::varchar)) AND parent_id IS NULL
        ORDER BY created_at DESC, tenant_id DESC, id DESC LIMIT $7
        """,
        tenant,
        user_id,
        agent_id,
        at,
        owner,
        last,
        limit,
    )


async def find_session(connection: Connection, tenant: str, session_id: str) -> Record | None:
    """The session, by its tenant and visible id."""
    return await connection.fetchrow(
        "SELECT tenant_id, id, user_id, agent_id, created_at, updated_at FROM sessions WHERE tenant_id = $1 AND id = $2", tenant, session_id
    )


async def list_messages(connection: Connection, *, tenant: str, session_id: str, after: tuple[int, int] | None, limit: int) -> list[Record]:
    """Oldest first, with the run each belongs to; the first condition on the ordinal is the one that an index can begin at."""
    ordinal, position = after or (None, None)
    return await connection.fetch(
        f"""
        SELECT m.run_id, m.position, m.role, m.content::text AS content, m.created_at, r.ordinal, r.status, r.subject
        FROM {_TURNS} r JOIN messages m ON m.run_id = r.id
        WHERE r.ordinal >= coalesce($3::bigint, 0) AND ($3 IS NULL OR (r.ordinal, m.position) > ($3, $4::int))
        ORDER BY r.ordinal, m.position LIMIT $5
        """,
        tenant,
        session_id,
        ordinal,
        position,
        limit,
    )


async def lock_session(connection: Connection, tenant: str, session_id: str) -> None:
    """Whoever else would change the session waits for the end of this transaction."""
    await connection.execute("SELECT FROM sessions WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE", tenant, session_id)


async def lock_live_run(connection: Connection, tenant: str, session_id: str) -> str | None:
    """The run that is under way in the session."""
    return await connection.fetchval(
        "SELECT id FROM runs WHERE tenant_id = $1 AND session_id = $2 AND status IN ('pending', 'running', 'paused') FOR UPDATE",
        tenant,
        session_id,
    )


async def delete_session(connection: Connection, tenant: str, session_id: str) -> None:
    """Session, messages, runs and their events, and those that members of teams had in it; what was spent stays counted."""
    family = "(SELECT id FROM sessions WHERE tenant_id = $1 AND (id = $2 OR parent_id = $2))"
    await connection.execute(f"DELETE FROM runs WHERE tenant_id = $1 AND session_id IN {family}", tenant, session_id)
    await connection.execute("DELETE FROM sessions WHERE tenant_id = $1 AND (id = $2 OR parent_id = $2)", tenant, session_id)


_MEMORY = "SELECT id, tenant_id, user_id, agent_id, content, run_id, created_at, updated_at FROM memories"


async def recall(connection: Connection, *, tenant: str, user_id: str, agent_id: str, most: int) -> list[Record]:
    """The newest memories of an agent about a user, oldest of them first."""
    rows = await connection.fetch(
        """
        SELECT id, content FROM memories WHERE tenant_id = $1 AND user_id = $2 AND agent_id = $3
        ORDER BY created_at DESC, id DESC LIMIT $4
        """,
        tenant,
        user_id,
        agent_id,
        most,
    )
    return rows[::-1]


async def insert_memory(
    connection: Connection, *, memory_id: str, tenant: str, user_id: str, agent_id: str, content: str, run_id: str | None
) -> Record | None:
    """The memory; None when it was written before under this id."""
    return await connection.fetchrow(
        """
        INSERT INTO memories (id, tenant_id, user_id, agent_id, content, run_id) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        RETURNING id, tenant_id, user_id, agent_id, content, run_id, created_at, updated_at
        """,
        memory_id,
        tenant,
        user_id,
        agent_id,
        content,
        run_id,
    )


async def find_memory(connection: Connection, memory_id: str, tenant: str | None) -> Record | None:
    """The memory, if the tenant may see it; a tenant of None sees all."""
    return await connection.fetchrow(_MEMORY + " WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2)", memory_id, tenant)


async def list_memories(
    connection: Connection,
    *,
    tenant: str | None,
    user_id: str | None,
    agent_id: str | None,
    before: tuple[dt.datetime, str] | None,
    limit: int,
) -> list[Record]:
    """Newest first."""
    at, last = before or (None, None)
    return await connection.fetch(
        _MEMORY
        + """
        WHERE ($1::varchar IS NULL OR tenant_id = $1) AND ($2::varchar IS NULL OR user_id = $2) AND ($3::varchar IS NULL OR agent_id = $3)
          AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::varchar))
        ORDER BY created_at DESC, id DESC LIMIT $6
        """,
        tenant,
        user_id,
        agent_id,
        at,
        last,
        limit,
    )


async def update_memory(connection: Connection, memory_id: str, tenant: str | None, content: str | None) -> Record | None:
    """The memory, with its new content if there is one."""
    return await connection.fetchrow(
        """
        UPDATE memories SET content = coalesce($3::text, content),
            updated_at = CASE WHEN $3 = content OR $3 IS NULL THEN updated_at ELSE clock_timestamp() END
        WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2)
        RETURNING id, tenant_id, user_id, agent_id, content, run_id, created_at, updated_at
        """,
        memory_id,
        tenant,
        content,
    )


async def delete_memory(connection: Connection, memory_id: str, tenant: str | None) -> None:
    """Truly."""
    await connection.execute("DELETE FROM memories WHERE id = $1 AND ($2::varchar IS NULL OR tenant_id = $2)", memory_id, tenant)


async def forget(connection: Connection, *, memory_id: str, tenant: str, user_id: str, agent_id: str) -> bool:
    """Delete one memory of this agent about this user; whether there was one."""
    return bool(
        await connection.fetchval(
            "DELETE FROM memories WHERE id = $1 AND tenant_id = $2 AND user_id = $3 AND agent_id = $4 RETURNING true",
            memory_id,
            tenant,
            user_id,
            agent_id,
        )
    )
