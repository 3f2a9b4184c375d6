"""How attempts end: many to a transaction, each fenced by its epoch; what follows from one, and whom its slot goes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from pointsman.jobs import events, memory, workspaces
from pointsman.jobs.ending import CANCELLED, end, supervise
from pointsman.jobs.messages import message_of
from pointsman.jobs.parking import wake
from pointsman.jobs.points import FINISHING, PAUSING, RETRYING
from pointsman.jobs.queue.sending import enqueue
from pointsman.jobs.rows import Claimed, Ending, Finish, Transition
from pointsman.jobs.states import ENDED, Status, require_edge
from pointsman.jobs.storable import storable_json, storable_text
from pointsman.kit.db import Connection, Record
from pointsman.kit.failpoints import Failpoint

# A job whose cancelling was asked for while it ran, and which does not end by itself: nobody would come for it any more.
_CANCELLED_AT_ONCE: tuple[Status, ...] = ("queued", "awaiting_approval")
_FIRST_BACK_OFF, _LONGEST_BACK_OFF = 1.0, 60.0

# The lock on both rows is the fence: it finds nothing once another attempt has begun or the job is no longer running. Rows are locked one
# by one, in the order of the array, by look-ups that no plan can turn into a scan.
_FINISH = """
WITH held AS MATERIALIZED (
    SELECT a.*, j.timeout_at
    FROM unnest($1::uuid[], $2::int[], $3::varchar[], $4::varchar[], $5::text[], $6::text[], $7::int[], $8::int[], $9::text[], $10::int[],
                $11::interval[], $12::bool[], $13::bool[], $14::text[], $15::timestamptz[], $16::varchar[], $17::varchar[])
        AS a (job_id, epoch, status, attempt, reason, result, exit_code, peak_mb, evidence, memory_mb, delay, counts, retried, checkpoint,
              retry_at, container_id, host)
    CROSS JOIN LATERAL (SELECT timeout_at FROM execution_jobs WHERE id = a.job_id AND status = 'running' FOR UPDATE) j
    CROSS JOIN LATERAL (SELECT 1 FROM job_details WHERE job_id = a.job_id AND epoch = a.epoch FOR UPDATE) d
), details AS (
    UPDATE job_details d SET
        failures = d.failures + h.counts::int,
        last_seq = d.last_seq + (h.status <> 'awaiting_approval')::int,
        sent = d.sent + (h.status = 'queued')::int,
        not_before = clock_timestamp() + nullif(h.delay, interval '0'),
        retry_at = h.retry_at,
        checkpoint = CASE WHEN h.status = 'awaiting_approval' THEN h.checkpoint::json ELSE d.checkpoint END,
        remaining_seconds = CASE WHEN h.status = 'awaiting_approval'
            THEN greatest(1, extract(epoch FROM h.timeout_at - clock_timestamp())) ELSE d.remaining_seconds END
    FROM held h WHERE d.job_id = h.job_id AND d.job_id = ANY (ARRAY(SELECT job_id FROM held))
    RETURNING d.job_id, d.last_seq, d.sent, d.worker_pool, d.priority, d.cancel_requested
), jobs AS (
    UPDATE execution_jobs j SET
        status = h.status,
        result = coalesce(h.result::jsonb, j.result),
        last_failure_reason = CASE WHEN h.status IN ('completed', 'awaiting_approval') THEN j.last_failure_reason ELSE h.reason END,
        completed_at = CASE WHEN h.status IN ('queued', 'awaiting_approval') THEN NULL ELSE clock_timestamp() END,
        timeout_at = CASE WHEN h.status IN ('queued', 'awaiting_approval') THEN NULL ELSE j.timeout_at END,
        retry_count = j.retry_count + h.retried::int,
        memory_limit_mb = coalesce(h.memory_mb, j.memory_limit_mb),
        container_id = coalesce(h.container_id, j.container_id),
        target_host = coalesce(h.host, j.target_host)
    FROM held h WHERE j.id = h.job_id AND j.id = ANY (ARRAY(SELECT job_id FROM held))
), attempts AS (
    UPDATE job_attempts t SET status = h.attempt, ended_at = clock_timestamp(), reason = h.reason, exit_code = h.exit_code,
        peak_memory_mb = h.peak_mb, evidence = h.evidence::json
    FROM held h WHERE t.job_id = h.job_id AND t.epoch = h.epoch AND t.job_id = ANY (ARRAY(SELECT job_id FROM held))
)
SELECT * FROM details
"""

# A repeated end finds the attempt ended as it was to end: then the first try was committed.
_ALREADY = """
SELECT t.job_id FROM job_attempts t JOIN unnest($1::uuid[], $2::int[], $3::varchar[]) AS a (job_id, epoch, status)
ON t.job_id = a.job_id AND t.epoch = a.epoch AND t.status = a.status
"""


def decide(finish: Finish) -> Transition:
    """What an end comes to, by the rules of retries and memory."""
    match finish.ending:
        case "ran_out":
            return _after_running_out(finish.attempt)
        case "broke":
            return _after_a_failure(finish.attempt)
        case _:
            return _PLAIN[finish.ending]


_PLAIN: dict[Ending, Transition] = {
    "done": Transition("completed", "completed"),
    "failed": Transition("failed", "failed"),
    "asks": Transition("awaiting_approval", "paused"),
    "circuit_open": Transition("failed_circuit_open", "open"),
    "handed_over": Transition("queued", "lost", delay=timedelta()),
}


def _after_running_out(attempt: Claimed) -> Transition:
    larger = memory.larger(attempt.memory_mb, attempt.cap_mb)
    if larger is None or _is_last(attempt):
        return Transition("oom", "oom", counts=True)
    return Transition("queued", "oom", delay=timedelta(), memory_mb=larger, counts=True, retried=True)


def _after_a_failure(attempt: Claimed) -> Transition:
    if _is_last(attempt):
        return Transition("failed", "failed", counts=True)
    return Transition("queued", "failed", delay=back_off(attempt.failures), counts=True, retried=True)


def _is_last(attempt: Claimed) -> bool:
    return attempt.failures + 1 >= attempt.max_attempts


def back_off(failures: int) -> timedelta:
    """How long a job waits after so many failures before this one."""
    return timedelta(seconds=min(_FIRST_BACK_OFF * 2**failures, _LONGEST_BACK_OFF))


def failpoint_of(finish: Finish) -> Failpoint:
    """Which transition an end is."""
    match decide(finish).job:
        case "queued":
            return RETRYING
        case "awaiting_approval":
            return PAUSING
        case _:
            return FINISHING


async def finish(connection: Connection, finishes: Sequence[Finish]) -> list[bool]:
    """End attempts, each named once, in the caller's transaction. False where the attempt is no longer the worker's: nothing is written.

    Safe to repeat: an end that was committed already is true.
    """
    asked = sorted(((one, decide(one)) for one in finishes), key=lambda pair: pair[0].attempt.job_id)
    for _, transition in asked:
        require_edge("running", transition.job)
    rows = {row["job_id"]: row for row in await connection.fetch(_FINISH, *_columns(asked))}
    held = [(one, transition, rows[one.attempt.job_id]) for one, transition in asked if one.attempt.job_id in rows]
    if held:
        await _tell(connection, held)
        await _follow_up(connection, held)
    done = set(rows) | await _already(connection, [pair for pair in asked if pair[0].attempt.job_id not in rows])
    return [one.attempt.job_id in done for one in finishes]


Held = tuple[Finish, Transition, Record]


async def _tell(connection: Connection, held: Sequence[Held]) -> None:
    # Of a job that waits for a person, the approval is what is told.
    await events.tell(connection, [_told(*one) for one in held if one[1].job != "awaiting_approval"])


def _told(one: Finish, transition: Transition, row: Record) -> events.Told:
    attempt = one.attempt
    said: dict[str, object] = {"attempt": attempt.epoch, "status": transition.job, "attempt_status": transition.attempt}
    said |= {name: value for name, value in (("reason", one.reason), ("exit_code", one.exit_code)) if value is not None}
    said |= {"peak_memory_mb": one.peak_memory_mb} if one.peak_memory_mb is not None else {}
    if transition.job == "queued":
        assert transition.delay is not None
        said |= {"in_seconds": transition.delay.total_seconds(), "memory_limit_mb": transition.memory_mb or attempt.memory_mb}
    if one.retry_at is not None:
        said["retry_at"] = one.retry_at
    kind = events.FINISHED if transition.job in ENDED else events.QUEUED
    return events.Told(attempt.job_id, attempt.run_id, row["last_seq"], kind, said)


async def _follow_up(connection: Connection, held: Sequence[Held]) -> None:
    """What else is true from now on: files, what was learned, messages, and who gets the slots."""
    await workspaces.keep(connection, [one for one, _, _ in held])
    await memory.learn(connection, [one for one, _, _ in held])
    for one, transition, row in held:
        if row["cancel_requested"] and transition.job in _CANCELLED_AT_ONCE:
            await end(connection, one.attempt.job_id, before=transition.job, after="failed", reason=CANCELLED)
    await enqueue(connection, [message_of(row, transition.delay) for _, transition, row in held if transition.delay is not None])
    await wake(connection, Counter((one.attempt.target_id, one.attempt.worker_pool) for one, _, _ in held))
    await supervise(
        connection,
        [(one.attempt.run_id, one.attempt.worker_pool) for one, transition, _ in held if transition.job in ENDED and one.attempt.run_id],
    )


async def _already(connection: Connection, missing: Sequence[tuple[Finish, Transition]]) -> set[object]:
    if not missing:
        return set()
    found = await connection.fetch(
        _ALREADY,
        [one.attempt.job_id for one, _ in missing],
        [one.attempt.epoch for one, _ in missing],
        [transition.attempt for _, transition in missing],
    )
    return {row["job_id"] for row in found}


def _columns(asked: Sequence[tuple[Finish, Transition]]) -> list[list[object]]:
    return [
        [one.attempt.job_id for one, _ in asked],
        [one.attempt.epoch for one, _ in asked],
        [transition.job for _, transition in asked],
        [transition.attempt for _, transition in asked],
        [storable_text(one.reason) for one, _ in asked],
        [storable_json(one.result) for one, _ in asked],
        [one.exit_code for one, _ in asked],
        [one.peak_memory_mb for one, _ in asked],
        [storable_json(one.evidence) for one, _ in asked],
        [transition.memory_mb for _, transition in asked],
        [transition.delay for _, transition in asked],
        [transition.counts for _, transition in asked],
        [transition.retried for _, transition in asked],
        [storable_json(one.checkpoint) for one, _ in asked],
        [one.retry_at for one, _ in asked],
        [one.container_id for one, _ in asked],
        [one.host for one, _ in asked],
    ]
