"""How an erasure goes on: one small batch at a time, in an order in which nothing is left that nobody could find any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pointsman.access import disposal as access
from pointsman.audit.service import record
from pointsman.budgets import disposal as budgets
from pointsman.credentials import disposal as credentials
from pointsman.erasure import queries
from pointsman.jobs import disposal as jobs
from pointsman.kit.db import Connection
from pointsman.knowledge import disposal as knowledge
from pointsman.retention.kinds import Swept
from pointsman.schedules import disposal as schedules
from pointsman.sessions import disposal as sessions
from pointsman.usage import disposal as usage
from pointsman.web import idempotency_queries as idempotency
from pointsman.webhooks import disposal as webhooks

Step = Callable[[Connection, str, str | None, int], Awaitable[int]]


async def _answers(connection: Connection, tenant: str, user_id: str | None, most: int) -> int:
    if user_id is None:
        return len(await connection.fetch(idempotency.ERASE_TENANT, tenant, most))
    return len(await connection.fetch(idempotency.ERASE_USER, tenant, user_id, most))


# Answers and jobs are found by their runs, so they go before them; keys last, so that what they may still write is met.
STEPS: dict[str, Step] = {
    "answers": _answers,
    "jobs": jobs.erase_jobs,
    "sessions": sessions.erase_sessions,
    "memories": sessions.erase_memories,
    "usage": usage.erase_usage,
    "credentials": credentials.erase_tokens,
    "knowledge": knowledge.erase_entries,
    "schedules": schedules.erase_schedules,
    "webhooks": webhooks.erase_webhooks,
    "budgets": budgets.erase_budgets,
    "keys": access.erase_keys,
}


async def erase_batch(connection: Connection, place: Any, most: int) -> Swept:
    """The next batch of the next erasure; the one that finds nothing left completes it."""
    erasure = await queries.next_running(connection, place)
    if erasure is None:
        return Swept(0, None, more=False)
    tenant, user_id = erasure["tenant_id"], erasure["user_id"]
    counts: dict[str, int] = msgspec.json.decode(erasure["counts"])
    rows = 0
    for name, step in STEPS.items():
        if rows >= most:
            break
        taken = await step(connection, tenant, user_id, most - rows)
        rows += taken
        counts[name] = counts.get(name, 0) + taken
    # A run or a job that was let in at the last moment ends within its limits; until then its session waits.
    live = await queries.find_live_run(connection, tenant, user_id) or await jobs.find_live_job(connection, tenant, user_id)
    completed = rows == 0 and live is None
    if completed:
        await queries.forget_exports(connection, tenant, user_id)
        await record(connection, None, "data.erased", *subject(tenant, user_id), {"erasure_id": erasure["id"], **counts}, tenant=tenant)
    await queries.store_progress(connection, erasure["id"], counts, completed=completed)
    return Swept(rows, erasure["id"], more=True)


def subject(tenant: str, user_id: str | None) -> tuple[str, str]:
    """Type and id for the audit log, which says who was erased and nothing of what they said."""
    return ("tenant", tenant) if user_id is None else ("user", user_id)
