"""Jobs: submitted, looked at, followed to their end."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, TypedDict

from pointsman.client.errors import ProblemResponse, StreamLost
from pointsman.client.streaming import PATIENCE, Event, parse
from pointsman.client.transport import Query, Transport, raise_problem

ENDED = frozenset({"completed", "failed", "oom", "failed_circuit_open"})

_IDLE = 45.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_PASSING = {502, 503, 504}
_OK = 200


class JobAttempt(TypedDict):
    """One attempt at a job."""

    number: int
    epoch: int
    status: str
    engine_id: str
    target_id: str
    memory_limit_mb: int
    peak_memory_mb: int | None
    exit_code: int | None
    reason: str | None
    evidence: dict[str, Any] | None
    started_at: str
    ended_at: str | None


class Job(TypedDict):
    """A job with its attempts."""

    id: str
    supervisor_run_id: str | None
    worker_config: dict[str, Any] | None
    prompt: str
    execution_target: dict[str, Any] | None
    status: str
    result: dict[str, Any] | None
    container_id: str | None
    target_host: str | None
    retry_count: int
    memory_limit_mb: int | None
    last_failure_reason: str | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    timeout_at: str | None
    attempts: list[JobAttempt]
    tenant_id: str | None
    key_id: int | None
    user_id: str | None
    agent_id: str | None
    run_id: str | None
    engine_id: str | None
    target_id: str | None
    worker_pool: str
    priority: int
    kind: str
    job_spec: dict[str, Any]
    max_attempts: int
    timeout_seconds: float
    remaining_seconds: float | None
    parked: bool
    cancel_requested: bool
    retry_at: str | None


class Jobs:
    """`/v2/jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, query: Query | None = None, *, most: int | None = None) -> Iterator[Job]:
        """Newest first; `query` may name `status`, `target`, `pool` and `run`."""
        return self._transport.pages("v2", "jobs", query=query, most=most)

    def create(self, body: Mapping[str, Any], *, key: str | None = None) -> Job:
        """Submit a job; `key` makes it safe to send again."""
        return self._transport.call("POST", "v2", "jobs", body=body, headers={"idempotency-key": key or str(uuid.uuid4())})

    def read(self, job_id: str) -> Job:
        return self._transport.call("GET", "v2", "jobs", job_id)

    def attempts(self, job_id: str) -> Iterator[JobAttempt]:
        """In the order in which they were made."""
        return iter(self._transport.call("GET", "v2", "jobs", job_id, "attempts")["items"])

    def cancel(self, job_id: str) -> Job:
        return self._transport.call("POST", "v2", "jobs", job_id, "cancel")

    def retry(self, job_id: str) -> Job:
        return self._transport.call("POST", "v2", "jobs", job_id, "retry")

    def workspace(self, job_id: str, kind: str = "out") -> bytes:
        """A tar of the job's files."""
        return self._transport.send("GET", "v2", "jobs", job_id, "workspace", query={"kind": kind}).content

    def follow(self, job_id: str, *, after: int = 0, verbosity: str = "full", patience: timedelta = PATIENCE) -> Iterator[Event]:
        """Events above `after`, then those that come, until the job has ended.

        A connection that breaks is taken up by id, for `patience` since the last event; then StreamLost.
        """
        deadline, pause = time.monotonic() + patience.total_seconds(), _SHORTEST_PAUSE
        while True:
            for event in self._connection(job_id, after, verbosity):
                after, pause = event.id, _SHORTEST_PAUSE
                deadline = time.monotonic() + patience.total_seconds()
                yield event
            if self._has_ended(job_id):
                yield from self._connection(job_id, after, verbosity)
                return
            if time.monotonic() > deadline:
                raise StreamLost(
                    f"Nothing was heard of job {job_id} for {patience.total_seconds():.0f} s.",
                    hint=f"It goes on without a reader: `pointsman jobs watch {job_id} --after {after}`.",
                )
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _connection(self, job_id: str, after: int, verbosity: str) -> Iterator[Event]:
        """The events of one connection, whatever ends it."""
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        query = {"stream_verbosity": verbosity}
        try:
            with self._transport.stream("GET", "v2", "jobs", job_id, "events", query=query, headers=headers, idle=_IDLE) as response:
                if response.status_code != _OK:
                    response.read()
                    raise_problem(response)
                yield from parse(response.iter_lines())
        except self._transport.broken:
            return
        except ProblemResponse as problem:
            if problem.status not in _PASSING:
                raise

    def _has_ended(self, job_id: str) -> bool:
        try:
            return self.read(job_id)["status"] in ENDED
        except ProblemResponse as problem:
            if problem.status not in _PASSING:
                raise
            return False
