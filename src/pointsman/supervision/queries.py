"""Every statement about supervised runs; each returns rows or None, and none commits by itself unless it says so."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pointsman.budgets.settling import SETTLING
from pointsman.kit.db import Connection, Record
from pointsman.runs.events import Event, pack
from pointsman.usage.ledger import NAMES, TYPES, UsageRow, columns, counting

_FIRST = 1  # the id of a run's first event


@dataclass(frozen=True, slots=True)
class NewSupervisedRun:
    """A run to be opened, with its story and the user's message. `request` and `message` are JSON, `said` is the message's text."""

    id: str
    supervisor_run_id: uuid.UUID
    tenant_id: str
    team_id: str
    leader_id: str
    session_id: str
    user_id: str | None
    key_id: int | None
    request: str
    snapshot: str
    verbosity: str
    message: str
    said: str
    model: str
    lasts: timedelta
    workspace: bytes | None


# --- opening


async def touch_session(connection: Connection, run: NewSupervisedRun) -> bool:
    """Make the session if it is new; false where it is another user's."""
    return bool(
        await connection.fetchval(
            """
            INSERT INTO sessions (tenant_id, id, user_id, agent_id) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant_id, id) DO UPDATE SET updated_at = clock_timestamp()
                WHERE sessions.user_id IS NOT DISTINCT FROM excluded.user_id
            RETURNING true
            """,
            run.tenant_id,
            run.session_id,
            run.user_id,
            run.leader_id,
        )
    )


async def insert_run(connection: Connection, run: NewSupervisedRun) -> bool:
    """The run's own row; false where its id is known, or another run of the session is live."""
    return bool(
        await connection.fetchval(
            """
            INSERT INTO runs (id, tenant_id, kind, subject, status, session_id, user_id, key_id, request, snapshot, stream_verbosity,
                              epoch, reserved_seq)
            VALUES ($1, $2, 'supervised', $3, 'pending', $4, $5, $6, $7::text::json, $8, $9, 0, $10)
            ON CONFLICT DO NOTHING RETURNING true
            """,
            run.id,
            run.tenant_id,
            run.team_id,
            run.session_id,
            run.user_id,
            run.key_id,
            run.request,
            run.snapshot,
            run.verbosity,
            _FIRST,
        )
    )


async def insert_story(connection: Connection, run: NewSupervisedRun, started: Event) -> None:
    """What belongs to a run that was just inserted; `started` is its first event."""
    await connection.execute(
        "INSERT INTO supervisor_runs (id, team_id, session_id, user_id, user_message) VALUES ($1, $2, $3, $4, $5)",
        run.supervisor_run_id,
        run.team_id,
        run.session_id,
        run.user_id,
        run.said,
    )
    await connection.execute(
        """
        INSERT INTO supervisor_details (run_id, supervisor_run_id, tenant_id, deadline_at, workspace)
        VALUES ($1, $2, $3, clock_timestamp() + $4::interval, $5)
        """,
        run.id,
        run.supervisor_run_id,
        run.tenant_id,
        run.lasts,
        run.workspace,
    )
    await insert_message(connection, run.id, 0, run.tenant_id, run.session_id, "user", run.message)
    await connection.execute(
        "INSERT INTO run_events (run_id, seq, last_seq, data) VALUES ($1, $2, $2, $3::text::json)",
        run.id,
        _FIRST,
        pack([started]),
    )


async def is_known(connection: Connection, run_id: str) -> bool:
    """Whether there is a run of this id."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM runs WHERE id = $1)", run_id)


async def count_live(connection: Connection, tenant: str, most: int) -> int:
    """How many supervised runs of the tenant have not ended; counting ends at `most`."""
    return await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM supervisor_details WHERE tenant_id = $1 AND stage <> 'ended' LIMIT $2) live", tenant, most
    )


# --- going on


# Two messages of one run may be under way at once: its last job has ended, say, and somebody cancels. Whoever has the run keeps it as long
# as the queue holds its handler for alive; the other comes again. One message alone, of a run that somebody has, was picked once more, so
# its former handler is dead: the epoch, which rises, fences that one.
_CLAIM = """
WITH alive AS (
    SELECT count(*) > 1 AS elsewhere FROM queue.pgqueuer
    WHERE status = 'picked' AND entrypoint LIKE 'supervise:%' AND split_part(convert_from(payload, 'UTF8'), ' ', 1) = $1
      AND heartbeat > clock_timestamp() - $3::interval
), mine AS (
    UPDATE supervisor_details d SET worker = $2, claims = claims + 1 FROM alive
    WHERE d.run_id = $1 AND d.stage <> 'ended' AND (d.worker IS NULL OR NOT alive.elsewhere)
    RETURNING d.*
), begun AS (
    UPDATE supervisor_runs s SET status = 'running' FROM mine d WHERE s.id = d.supervisor_run_id
)
UPDATE runs r SET epoch = r.epoch + 1, status = 'running' FROM mine d
WHERE r.id = d.run_id AND r.status IN ('pending', 'running')
RETURNING r.id, r.tenant_id, r.subject, r.session_id, r.user_id, r.key_id, r.request::text AS request, r.snapshot, r.epoch,
          r.cancel_requested, d.supervisor_run_id, d.stage, d.since, d.round, d.step, d.claims, d.asked_model, d.asked_tokens,
          d.deadline_at <= clock_timestamp() AS overdue
"""


async def claim(connection: Connection, run_id: str, worker: str, dead_after: timedelta) -> Record | None:
    """Make the run this handler's own; None where it has ended, or another one has it. Commits by itself."""
    return await connection.fetchrow(_CLAIM, run_id, worker, dead_after)


async def has_ended(connection: Connection, run_id: str) -> bool:
    """Whether nothing is left to do for the run, or it is gone."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM supervisor_details WHERE run_id = $1 AND stage <> 'ended')", run_id)


async def release(connection: Connection, run_id: str, epoch: int) -> None:
    """Let go of the run, if it is still this owner's, who did not die of it. Commits by itself."""
    await connection.execute(
        """
        UPDATE supervisor_details d SET worker = NULL, claims = 0 FROM runs r WHERE d.run_id = $1 AND r.id = d.run_id AND r.epoch = $2
        """,
        run_id,
        epoch,
    )


async def hold(connection: Connection, run_id: str, epoch: int) -> bool:
    """Lock the run for this transaction; false where it is another's by now."""
    return bool(await connection.fetchval("SELECT true FROM runs WHERE id = $1 AND epoch = $2 FOR NO KEY UPDATE", run_id, epoch))


async def advance(
    connection: Connection, run_id: str, step: int, *, stage: str, since: int, round_: int, progress: bool, heard: bool
) -> bool:
    """Take the run to its next step; false where this very step was committed before.

    `progress`: it is more than a piece of an answer; `heard`: the model that was being asked has answered, or never will.
    """
    return bool(
        await connection.fetchval(
            """
            UPDATE supervisor_details SET step = step + 1, stage = $3::varchar, since = $4, round = $5,
                claims = CASE WHEN $6 THEN 1 ELSE claims END,
                asked_model = CASE WHEN NOT $7 THEN asked_model END,
                asked_tokens = CASE WHEN NOT $7 THEN asked_tokens END,
                workspace = CASE WHEN $3::varchar <> 'ended' THEN workspace END
            WHERE run_id = $1 AND step = $2 RETURNING true
            """,
            run_id,
            step,
            stage,
            since,
            round_,
            progress,
            heard,
        )
    )


async def mark_asking(connection: Connection, run_id: str, model: str, tokens: int) -> None:
    """A model is about to be asked; of how many tokens about."""
    await connection.execute("UPDATE supervisor_details SET asked_model = $2, asked_tokens = $3 WHERE run_id = $1", run_id, model, tokens)


async def insert_message(connection: Connection, run_id: str, position: int, tenant: str, session_id: str, role: str, content: str) -> None:
    """A message of the run."""
    await connection.execute(
        """
        INSERT INTO messages (run_id, position, tenant_id, session_id, role, content) VALUES ($1, $2, $3, $4, $5, $6::text::json)
        """,
        run_id,
        position,
        tenant,
        session_id,
        role,
        content,
    )


async def next_call(connection: Connection, run_id: str) -> int:
    """The number of the run's next model call, whoever makes it; the run is held."""
    return await connection.fetchval("SELECT coalesce(max(call) + 1, 0) FROM usage_details WHERE run_id = $1", run_id)


async def sum_usage(connection: Connection, accounts: Sequence[str]) -> Record:
    """What a run and its jobs have consumed: tokens, is_estimated, cost (null where one is unknown)."""
    row = await connection.fetchrow(
        """
        SELECT coalesce(sum(t.prompt_tokens), 0)::bigint AS prompt_tokens,
               coalesce(sum(t.completion_tokens), 0)::bigint AS completion_tokens,
               coalesce(bool_or(t.is_estimated), false) AS is_estimated, count(*) AS calls,
               CASE WHEN count(*) = count(d.cost) THEN coalesce(sum(d.cost), 0) END AS cost
        FROM usage_details d JOIN token_usage t ON t.id = d.usage_id WHERE d.run_id = ANY ($1)
        """,
        list(accounts),
    )
    assert row is not None
    return row


_USAGE = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, start=3))
_COUNT = f"""
WITH asked AS (SELECT $1::varchar AS run_id, $2::varchar AS status), held AS (SELECT run_id AS id FROM asked), mine AS (
    SELECT u.* FROM unnest({_USAGE}) AS u ({NAMES})
), {counting("mine")}, {SETTLING}
SELECT count(*) FROM spent
"""


async def count_usage(connection: Connection, run_id: str, status: str, usages: Sequence[UsageRow]) -> None:
    """Count model calls, and settle what they had reserved of budgets; the run's end settles all of it."""
    await connection.fetchval(_COUNT, run_id, status, *columns(usages))


async def store_response(
    connection: Connection, supervisor_run_id: uuid.UUID, *, response: str, worker: str | None, engine: str | None
) -> None:
    """What the leader says the request is."""
    await connection.execute(
        """
        UPDATE supervisor_runs SET supervisor_response = $2::text::jsonb, worker_agent_id = coalesce($3, worker_agent_id),
            execution_engine = coalesce($4, execution_engine)
        WHERE id = $1
        """,
        supervisor_run_id,
        response,
        worker,
        engine,
    )


async def end_run(
    connection: Connection, run_id: str, supervisor_run_id: uuid.UUID, *, status: str, result: str, error: str | None, output: str | None
) -> None:
    """The end of the run and of its story, which knows no `cancelled`."""
    await connection.execute(
        """
        UPDATE runs SET status = $2, result = $3::text::json, error = $4::text::json, completed_at = clock_timestamp() WHERE id = $1
        """,
        run_id,
        status,
        result,
        error,
    )
    await connection.execute(
        "UPDATE supervisor_runs SET status = $2, execution_output = $3, completed_at = clock_timestamp() WHERE id = $1",
        supervisor_run_id,
        "completed" if status == "completed" else "failed",
        output,
    )


# --- jobs


async def list_jobs(connection: Connection, supervisor_run_id: uuid.UUID) -> list[Record]:
    """The jobs of a run in the order in which they went out."""
    return await connection.fetch(
        """
        SELECT j.id, j.status, j.last_failure_reason, j.result::text AS result, d.job_spec::text AS job_spec, d.cancel_requested
        FROM execution_jobs j JOIN job_details d ON d.job_id = j.id WHERE j.supervisor_run_id = $1 ORDER BY d.ordinal
        """,
        supervisor_run_id,
    )


async def give_workspace(connection: Connection, run_id: str, jobs: Sequence[uuid.UUID]) -> None:
    """What the request came with is what each of its jobs begins with."""
    await connection.execute(
        """
        INSERT INTO job_workspaces (job_id, kind, data)
        SELECT j.id, 'in', d.workspace FROM supervisor_details d CROSS JOIN unnest($2::uuid[]) AS j (id)
        WHERE d.run_id = $1 AND d.workspace IS NOT NULL
        """,
        run_id,
        list(jobs),
    )


# --- reading and watching


async def describe(connection: Connection, run_ids: Sequence[str]) -> list[Record]:
    """The story of each of these runs that is a supervised one."""
    return await connection.fetch(
        """
        SELECT d.run_id, s.id AS supervisor_run_id, s.supervisor_response ->> 'classification' AS classification,
               s.supervisor_response ->> 'risk_level' AS risk_level, s.worker_agent_id, s.execution_engine,
               ARRAY(SELECT j.job_id FROM execution_jobs e JOIN job_details j ON j.job_id = e.id
                     WHERE e.supervisor_run_id = s.id ORDER BY j.ordinal) AS jobs
        FROM supervisor_details d JOIN supervisor_runs s ON s.id = d.supervisor_run_id WHERE d.run_id = ANY ($1)
        """,
        list(run_ids),
    )


async def wants_to_stop(connection: Connection, run_id: str) -> bool:
    """Whether somebody wants the run cancelled."""
    return bool(await connection.fetchval("SELECT cancel_requested FROM runs WHERE id = $1", run_id))


async def list_neglected(connection: Connection, most: int) -> list[str]:
    """Runs that nobody has though something is to be done: they are out of time, cancelled, or none of their jobs lives."""
    rows = await connection.fetch(
        """
        SELECT d.run_id FROM supervisor_details d JOIN runs r ON r.id = d.run_id
        CROSS JOIN LATERAL (SELECT count(*) AS live, count(*) FILTER (WHERE NOT jd.cancel_requested) AS unasked
            FROM execution_jobs j JOIN job_details jd ON jd.job_id = j.id
            WHERE j.supervisor_run_id = d.supervisor_run_id AND j.status IN ('queued', 'running', 'awaiting_approval')) jobs
        WHERE d.stage <> 'ended' AND d.worker IS NULL
          AND ((d.stage = 'jobs' AND jobs.live = 0)
            OR ((d.deadline_at <= clock_timestamp() OR r.cancel_requested) AND (jobs.live = 0 OR jobs.unasked > 0)))
        ORDER BY d.run_id LIMIT $1
        """,
        most,
    )
    return [row["run_id"] for row in rows]
