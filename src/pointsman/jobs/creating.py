"""How jobs come to be: their row, details, first event and message in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.jobs import events
from pointsman.jobs.messages import messages_of
from pointsman.jobs.points import CREATING
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.rows import NewJob
from pointsman.kit.db import Connection
from pointsman.runs.events import pack

# Who comes while others wait for the same waits behind them: no message, nothing for workers to pick up in vain.
_CREATE = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::varchar[], $3::text[], $4::text[], $5::int[], $6::uuid[], $7::int[], $8::varchar[], $9::varchar[],
                         $10::varchar[], $11::varchar[], $12::varchar[], $13::varchar[], $14::int[], $15::varchar[], $16::text[],
                         $17::int[], $18::int[], $19::float8[], $20::text[], $21::bytea[]) WITH ORDINALITY
    AS a (id, tenant_id, prompt, worker_config, memory_mb, supervisor_run_id, key_id, user_id, agent_id, run_id, engine_id, target_id,
          worker_pool, priority, kind, job_spec, max_attempts, most_memory_mb, timeout_seconds, event, workspace, place)
), line AS (
    SELECT w.* FROM (SELECT DISTINCT target_id, worker_pool FROM asked) a CROSS JOIN LATERAL (
        SELECT a.target_id, a.worker_pool, p.parked_on, p.parked_limit FROM (
            (SELECT d.parked_on, d.parked_limit FROM job_details d WHERE d.parked AND d.parked_on = a.target_id
             ORDER BY d.priority DESC, d.ordinal LIMIT 1)
            UNION ALL
            (SELECT d.parked_on, d.parked_limit FROM job_details d
             WHERE a.target_id IS NULL AND d.parked AND d.target_id IS NULL AND d.worker_pool = a.worker_pool
             ORDER BY d.priority DESC, d.ordinal LIMIT 1)
        ) p LIMIT 1
    ) w
), behind AS (
    SELECT a.id, l.parked_on, l.parked_limit FROM asked a
    JOIN line l ON l.worker_pool = a.worker_pool AND l.target_id IS NOT DISTINCT FROM a.target_id
), made AS (
    INSERT INTO execution_jobs (id, supervisor_run_id, worker_config, prompt, memory_limit_mb)
    SELECT id, supervisor_run_id, worker_config::jsonb, prompt, memory_mb FROM asked ORDER BY place
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), detailed AS (
    INSERT INTO job_details (job_id, tenant_id, key_id, user_id, agent_id, run_id, engine_id, target_id, worker_pool, priority, kind,
                             job_spec, max_attempts, most_memory_mb, timeout_seconds, explicit_memory, last_seq, parked, parked_on,
                             parked_limit, sent)
    SELECT a.id, a.tenant_id, a.key_id, a.user_id, a.agent_id, a.run_id, a.engine_id, a.target_id, a.worker_pool, a.priority, a.kind,
           a.job_spec::json, a.max_attempts, a.most_memory_mb, a.timeout_seconds, a.memory_mb IS NOT NULL, 1, b.id IS NOT NULL,
           b.parked_on, b.parked_limit, CASE WHEN b.id IS NULL THEN 1 ELSE 0 END
    FROM asked a JOIN made m ON m.id = a.id LEFT JOIN behind b ON b.id = a.id ORDER BY a.place
    RETURNING job_id, worker_pool, priority, sent, parked
), told AS (
    INSERT INTO job_events (job_id, seq, last_seq, data)
    SELECT a.id, 1, 1, a.event::json FROM asked a JOIN made m ON m.id = a.id
), filled AS (
    INSERT INTO job_workspaces (job_id, kind, data)
    SELECT a.id, 'in', a.workspace FROM asked a JOIN made m ON m.id = a.id WHERE a.workspace IS NOT NULL
)
SELECT job_id, worker_pool, priority, sent, parked FROM detailed
"""


async def create_jobs(connection: Connection, jobs: Sequence[NewJob]) -> None:
    """Create them within the caller's transaction; one whose id exists already is left as it is."""
    payloads = [_queued(job) for job in jobs]
    rows = await connection.fetch(
        _CREATE,
        [job.id for job in jobs],
        [job.tenant_id for job in jobs],
        [job.prompt for job in jobs],
        [job.worker_config for job in jobs],
        [job.memory_mb for job in jobs],
        [job.supervisor_run_id for job in jobs],
        [job.key_id for job in jobs],
        [job.user_id for job in jobs],
        [job.agent_id for job in jobs],
        [job.run_id for job in jobs],
        [job.engine_id for job in jobs],
        [job.target_id for job in jobs],
        [job.worker_pool for job in jobs],
        [job.priority for job in jobs],
        [job.kind for job in jobs],
        [job.job_spec for job in jobs],
        [job.max_attempts for job in jobs],
        [job.most_memory_mb for job in jobs],
        [job.timeout_seconds for job in jobs],
        [pack([events.encode(job.id, job.run_id, 1, events.QUEUED, said)]) for job, said in zip(jobs, payloads, strict=True)],
        [job.workspace for job in jobs],
    )
    made = {row["job_id"] for row in rows}
    await events.tell_runs(
        connection, [(job.id, job.run_id, events.QUEUED, said) for job, said in zip(jobs, payloads, strict=True) if job.id in made]
    )
    await enqueue(connection, messages_of(row for row in rows if not row["parked"]))
    await CREATING.reach("in")


def _queued(job: NewJob) -> dict[str, object]:
    return {"worker_pool": job.worker_pool, "priority": job.priority, "engine_id": job.engine_id, "target_id": job.target_id}
