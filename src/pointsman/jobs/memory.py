"""What was learned about memory: at which size a tenant's jobs of a kind start on an engine.

Running out teaches twice the size; an explicit limit that was enough teaches itself where nothing was known. A run that did not run out
is clean, and after twenty of them the size decays: to what they really used and half as much again, but by no more than a half. Where
nobody can say what was used, the size stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from pointsman.jobs.rows import Claimed, Finish
from pointsman.kit.db import Connection

CLEAN_RUNS = 20
"""After so many runs that did not run out of memory the learned size decays."""

SMALLEST_MB = 64


def larger(memory_mb: int, cap_mb: int | None) -> int | None:
    """The next attempt's memory; None where the target has no more to give."""
    if cap_mb is not None and memory_mb >= cap_mb:
        return None
    return memory_mb * 2 if cap_mb is None else min(memory_mb * 2, cap_mb)


async def learn(connection: Connection, finishes: Sequence[Finish]) -> None:
    """Take in how attempts ended, one kind after the other in a fixed order, so that two batches never wait for each other."""
    ran_out = {_kind(one.attempt): one for one in finishes if one.ending == "ran_out"}
    for (tenant, engine, kind), one in sorted(ran_out.items(), key=lambda item: item[0]):
        size = larger(one.attempt.memory_mb, one.attempt.cap_mb) or one.attempt.memory_mb
        await connection.execute(_RAISE, tenant, engine, kind, size)
    explicit = {_kind(one.attempt): one for one in finishes if one.ending == "done" and one.attempt.explicit_memory and one.peak_memory_mb}
    for (tenant, engine, kind), one in sorted(explicit.items(), key=lambda item: item[0]):
        await connection.execute(_BEGIN, tenant, engine, kind, one.attempt.memory_mb)
    clean = [one for one in finishes if one.ending == "done" and one.peak_memory_mb is not None]
    if clean:
        clean.sort(key=lambda one: _kind(one.attempt))
        await connection.execute(
            _COUNT,
            [one.attempt.tenant_id for one in clean],
            [one.attempt.engine_id for one in clean],
            [one.attempt.kind for one in clean],
            [one.peak_memory_mb for one in clean],
            CLEAN_RUNS,
            SMALLEST_MB,
        )


def _kind(attempt: Claimed) -> tuple[str, str, str]:
    return attempt.tenant_id, attempt.engine_id, attempt.kind


_RAISE = """
INSERT INTO job_memory (tenant_id, engine_id, kind, memory_mb) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, engine_id, kind) DO UPDATE
SET memory_mb = greatest(job_memory.memory_mb, excluded.memory_mb), clean_runs = 0, most_seen_mb = 0, updated_at = clock_timestamp()
"""

_BEGIN = "INSERT INTO job_memory (tenant_id, engine_id, kind, memory_mb) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"

# Only kinds that have a row: most jobs never ran out, and cost nothing here but a look.
_COUNT = """
WITH seen AS (
    SELECT tenant_id, engine_id, kind, count(*)::int AS runs, max(peak_mb) AS peak_mb
    FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::int[]) AS a (tenant_id, engine_id, kind, peak_mb)
    GROUP BY tenant_id, engine_id, kind
), held AS (
    SELECT m.tenant_id, m.engine_id, m.kind, s.runs, greatest(m.most_seen_mb, s.peak_mb) AS peak_mb
    FROM job_memory m JOIN seen s USING (tenant_id, engine_id, kind) ORDER BY 1, 2, 3 FOR UPDATE OF m
)
UPDATE job_memory m SET
    memory_mb = CASE WHEN m.clean_runs + h.runs < $5 THEN m.memory_mb
                     ELSE least(m.memory_mb, greatest($6, m.memory_mb / 2, ceil(h.peak_mb * 1.5)::int)) END,
    clean_runs = CASE WHEN m.clean_runs + h.runs < $5 THEN m.clean_runs + h.runs ELSE 0 END,
    most_seen_mb = CASE WHEN m.clean_runs + h.runs < $5 THEN h.peak_mb ELSE 0 END,
    updated_at = clock_timestamp()
FROM held h WHERE (m.tenant_id, m.engine_id, m.kind) = (h.tenant_id, h.engine_id, h.kind)
"""
