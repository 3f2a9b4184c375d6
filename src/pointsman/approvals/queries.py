"""Every statement about approvals; each returns rows or None."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec

from pointsman.approvals.hashing import canonical, sha256_of
from pointsman.approvals.rows import Approval, Asking, Decision
from pointsman.kit.db import Connection, Record

# What nobody has decided is over when its time is, or when there is nobody any more who would hear of it.
_OVER = """
CASE WHEN a.status <> 'pending' THEN a.status
     WHEN a.job_id IS NOT NULL THEN
        CASE WHEN j.status IN ('completed', 'failed', 'oom', 'failed_circuit_open') THEN 'cancelled'
             WHEN a.expires_at <= clock_timestamp() THEN 'expired' ELSE 'pending' END
     WHEN r.status <> 'paused' THEN 'cancelled'
     WHEN a.expires_at <= clock_timestamp() THEN 'expired' ELSE 'pending' END
"""
_READ = f"""
SELECT * FROM (
    SELECT a.id, a.ordinal, a.tenant_id, a.key_id, a.run_id, a.job_id, a.step, a.call_id, a.tool_name, a.tool_args::text AS tool_args,
           a.args_sha256, a.edited_args::text AS edited_args, a.edited_sha256, a.rules::text AS rules, a.parameters::text AS parameters,
           a.risk_level, a.reason, {_OVER} AS status, a.created_at, a.expires_at, a.decided_by, a.decided_at, a.note
    FROM approvals a LEFT JOIN runs r ON r.id = a.run_id LEFT JOIN execution_jobs j ON j.id = a.job_id
) a
"""


async def insert_approval(connection: Connection, approval_id: str, asking: Asking, ttl: timedelta) -> bool:
    """Whether it is new: there is one for each call."""
    inserted = await connection.fetchval(
        """
        INSERT INTO approvals (id, tenant_id, user_id, key_id, run_id, job_id, step, call_id, tool_name, tool_args, args_sha256, rules,
                               parameters, risk_level, reason, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $12::text::json, $13::text::json, $14, $15,
                clock_timestamp() + $16::interval)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        approval_id,
        asking.tenant_id,
        asking.user_id,
        asking.key_id,
        asking.run_id,
        asking.job_id,
        asking.step,
        asking.call_id,
        asking.tool_name,
        canonical(asking.tool_args),
        asking.args_sha256,
        msgspec.json.encode(asking.rules).decode(),
        None if asking.parameters is None else canonical(asking.parameters),
        asking.risk_level,
        asking.reason,
        ttl,
    )
    return bool(inserted)


async def find_approval(connection: Connection, approval_id: str, tenant: str | None) -> Approval | None:
    """The approval, if the tenant may see it; a tenant of None sees all."""
    row = await connection.fetchrow(f"{_READ} WHERE a.id = $1 AND ($2::varchar IS NULL OR a.tenant_id = $2)", approval_id, tenant)
    return None if row is None else Approval.of(row)


async def find_for_call(connection: Connection, *, run_id: str | None, job_id: UUID | None, step: int, call_id: str) -> Approval | None:
    """That of a call of a job, or of a run itself."""
    mine = "a.job_id = $1 AND $2::varchar IS NULL" if job_id is not None else "$1::uuid IS NULL AND a.run_id = $2 AND a.job_id IS NULL"
    run = None if job_id is not None else run_id
    row = await connection.fetchrow(f"{_READ} WHERE {mine} AND a.step = $3 AND a.call_id = $4", job_id, run, step, call_id)
    return None if row is None else Approval.of(row)


async def list_waiting_jobs(connection: Connection, job_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the jobs for which somebody has to decide something."""
    rows = await connection.fetch("SELECT DISTINCT job_id FROM approvals WHERE job_id = ANY($1) AND status = 'pending'", list(job_ids))
    return {row["job_id"] for row in rows}


async def list_of_run(connection: Connection, run_id: str) -> dict[tuple[int, str], Approval]:
    """All that a run itself asked for, by step and call."""
    rows = await connection.fetch(f"{_READ} WHERE a.run_id = $1 AND a.job_id IS NULL", run_id)
    return {(approval.step, approval.call_id): approval for approval in map(Approval.of, rows)}


async def is_child(connection: Connection, run_id: str | None, parent_id: str) -> bool:
    """Whether a run is that of a member of a team, for this run of the team."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM runs WHERE id = $1 AND parent_run_id = $2)", run_id, parent_id)


async def list_of_children(connection: Connection, run_id: str) -> list[Approval]:
    """What members of a team wait for in this run of it."""
    rows = await connection.fetch(
        f"""
        {_READ} WHERE a.run_id IN (SELECT id FROM runs WHERE parent_run_id = $1 AND status = 'paused') AND a.job_id IS NULL
          AND a.status = 'pending' ORDER BY a.ordinal
        """,
        run_id,
    )
    return [Approval.of(row) for row in rows]


async def list_approvals(
    connection: Connection,
    tenant: str | None,
    *,
    status: str | None,
    run_id: str | None,
    job_id: UUID | None,
    before: int | None,
    limit: int,
) -> list[Approval]:
    """Newest first; those of a team's run include what its members ask for in it."""
    rows = await connection.fetch(
        f"""
        {_READ}
        WHERE ($1::varchar IS NULL OR a.tenant_id = $1) AND ($2::varchar IS NULL OR a.status = $2)
          AND ($3::varchar IS NULL OR a.run_id = $3 OR a.run_id IN (SELECT id FROM runs WHERE parent_run_id = $3))
          AND ($4::uuid IS NULL OR a.job_id = $4) AND ($5::bigint IS NULL OR a.ordinal < $5)
        ORDER BY a.ordinal DESC LIMIT $6
        """,
        tenant,
        status,
        run_id,
        job_id,
        before,
        limit,
    )
    return [Approval.of(row) for row in rows]


async def lock_owner(connection: Connection, approval: Approval) -> None:
    """Whoever decides about the same run or job waits: decisions, pauses and ends of one follow one another."""
    if approval.job_id is not None:
        await connection.execute("SELECT FROM execution_jobs WHERE id = $1 FOR UPDATE", approval.job_id)
    else:
        await connection.execute("SELECT FROM runs WHERE id = $1 FOR UPDATE", approval.run_id)


async def store_decision(connection: Connection, approval_id: str, decision: Decision) -> bool:
    """Whether it is the first one, and in time."""
    edited = decision.args
    stored = await connection.fetchval(
        """
        UPDATE approvals SET status = $2, decided_by = $3, decided_at = clock_timestamp(), note = $4, edited_args = $5::text::json,
               edited_sha256 = $6
        WHERE id = $1 AND status = 'pending' AND (expires_at > clock_timestamp()) = ($2 <> 'expired') RETURNING true
        """,
        approval_id,
        decision.status,
        decision.decided_by,
        decision.note,
        None if edited is None else canonical(edited),
        None if edited is None else sha256_of(edited),
    )
    return bool(stored)


async def has_pending(connection: Connection, approval: Approval) -> bool:
    """Whether something else of the same run or job waits still."""
    if approval.job_id is not None:
        mine = "SELECT EXISTS (SELECT FROM approvals WHERE job_id = $1 AND status = 'pending')"
        return await connection.fetchval(mine, approval.job_id)
    mine = "SELECT EXISTS (SELECT FROM approvals WHERE run_id = $1 AND job_id IS NULL AND status = 'pending')"
    return await connection.fetchval(mine, approval.run_id)


async def list_over(connection: Connection, most: int) -> list[Approval]:
    """Pending ones that are over."""
    rows = await connection.fetch(
        f"{_READ} WHERE a.id IN (SELECT id FROM approvals WHERE status = 'pending') AND a.status <> 'pending' LIMIT $1", most
    )
    return [Approval.of(row) for row in rows]


async def cancel(connection: Connection, approval_id: str) -> None:
    """Nobody can decide it any more."""
    await connection.execute("UPDATE approvals SET status = 'cancelled' WHERE id = $1 AND status = 'pending'", approval_id)


async def list_families(connection: Connection, key_ids: list[int]) -> list[Record]:
    """The families of these keys: a rotated key's successor is of the same one."""
    return await connection.fetch("SELECT key_id, family_id FROM api_key_lineage WHERE key_id = ANY ($1)", key_ids)


async def is_overdue(connection: Connection, approval_id: str) -> bool:
    """Whether it is pending although its time is over; the caller has locked its owner."""
    overdue = "SELECT EXISTS (SELECT FROM approvals WHERE id = $1 AND status = 'pending' AND expires_at <= clock_timestamp())"
    return await connection.fetchval(overdue, approval_id)
