"""What the statements of jobs take and give."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from pointsman.jobs.states import Status
from pointsman.jobs.worker_config import DEFAULT_POOL

AttemptStatus = Literal["running", "completed", "failed", "oom", "lost", "paused", "open"]
WorkspaceKind = Literal["in", "checkpoint", "out"]


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be created. `worker_config` and `job_spec` are JSON texts; memory in MB (2^20 bytes).

    `memory_mb` is where an explicit wish starts; without one the learned size applies, else `most_memory_mb`.
    """

    tenant_id: str
    prompt: str
    kind: str
    job_spec: str
    timeout_seconds: float
    max_attempts: int
    most_memory_mb: int
    worker_config: str | None = None
    memory_mb: int | None = None
    engine_id: str | None = None
    target_id: str | None = None
    worker_pool: str = DEFAULT_POOL
    priority: int = 5
    key_id: int | None = None
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    supervisor_run_id: uuid.UUID | None = None
    workspace: bytes | None = None
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that a message was about, as far as it never changes, and what it is now; JSON columns are texts.

    `failures` count against `max_attempts`.
    """

    id: uuid.UUID
    status: Status
    tenant_id: str
    key_id: int | None
    user_id: str | None
    agent_id: str | None
    run_id: str | None
    engine_id: str | None
    target_id: str | None
    worker_pool: str
    priority: int
    kind: str
    prompt: str
    job_spec: str
    worker_config: str | None
    max_attempts: int
    timeout_seconds: float
    life: int
    """How often somebody had it tried again: what was decided in one life is not decided in the next."""
    risk_level: str | None
    """What its supervised run was classified as."""
    lost_on: str | None
    """The target on which an attempt is still said to be running: what is left of it has to be reaped there."""
    lost_handle: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker wants to run a job on a target of at most `slots` jobs at once and `cap_mb` of memory each (None: no limit).

    `pool_slots` bounds all the targets of the job's pool together. `place` is what `execution_jobs.execution_target` will say, as JSON.
    """

    job_id: uuid.UUID
    worker: str
    engine_id: str
    target_id: str
    place: str
    slots: int | None = None
    pool_slots: int | None = None
    cap_mb: int | None = None
    message: int | None = None
    """The number of the message that it comes from; where a later one has been sent it has nothing to do any more."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt whose worker is gone, and what there may be left of it on its target."""

    epoch: int
    target_id: str
    handle: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt that is now the worker's: `epoch` is in everything that it writes. JSON columns are texts."""

    job_id: uuid.UUID
    epoch: int
    tenant_id: str
    run_id: str | None
    engine_id: str
    target_id: str
    worker_pool: str
    kind: str
    handle: str
    memory_mb: int
    explicit_memory: bool
    cap_mb: int | None
    seconds: float
    failures: int
    max_attempts: int
    cancel_requested: bool
    output_bytes: int
    """How much of its output is kept already."""
    checkpoint: str | None
    lost: Lost | None


@dataclass(frozen=True, slots=True)
class Parked:
    """There is no slot: the job waits without a message until one is free."""

    job_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing to do: the job has ended, waits for a person, waits for its time, or is lost for good."""

    job_id: uuid.UUID


Ending = Literal["done", "failed", "ran_out", "broke", "asks", "handed_over", "circuit_open"]


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended; JSON columns are texts, `reason` is a sentence that begins with its word (`exit`, `timeout` …).

    `done` and `failed` are the work's own doing, `ran_out` comes with `evidence`, `broke` is our own or the target's failure. `asks`
    leaves the job to a person, with `checkpoint` and `workspace` for the attempt that goes on; `handed_over` leaves it to the next
    worker at once, and counts for nothing; `circuit_open` says with `retry_at` when it may be tried again.
    """

    attempt: Claimed
    ending: Ending
    reason: str | None = None
    result: str | None = None
    exit_code: int | None = None
    peak_memory_mb: int | None = None
    evidence: str | None = None
    checkpoint: str | None = None
    workspace: bytes | None = None
    left: bytes | None = None
    """Its files at the end, a tar."""
    retry_at: dt.datetime | None = None
    container_id: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """What a Finish comes to."""

    job: Status
    attempt: AttemptStatus
    delay: timedelta | None = None
    """When it is queued again: how long it waits."""
    memory_mb: int | None = None
    counts: bool = False
    """Whether it is one of the failures that are counted."""
    retried: bool = False


Event = tuple[str, dict[str, Any]]
