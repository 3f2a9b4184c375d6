"""Jobs on the wire."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
import uuid
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.rows import AttemptStatus
from pointsman.jobs.states import Status
from pointsman.jobs.worker_config import Name, WorkerConfig
from pointsman.jobs.workspaces import MOST_BYTES
from pointsman.web.wire import Body, Moment, Read

_LONGEST_SECONDS = 24 * 60 * 60
Prompt = Annotated[str, StringConstraints(max_length=200_000)]


class JobCreate(Body):
    """A job without a supervisor, for programs and tests."""

    prompt: Prompt
    engine: Name | None = Field(default=None, description="An engine's id; unset: that of `worker_config`, else the default one.")
    target: Name | None = Field(default=None, description="A target's id; unset: chosen from the pool by health and free capacity.")
    worker_pool: Name | None = Field(default=None, description="Unset: the target's, else that of `worker_config`.")
    worker_config: WorkerConfig | None = None
    job_spec: JobSpec = Field(default_factory=JobSpec)
    memory_limit_mb: int | None = Field(
        default=None, ge=16, le=1_048_576, description="Where it starts; unset: what was learned of its kind, else `max_memory_mb`."
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=_LONGEST_SECONDS, allow_inf_nan=False, description="Of running; unset: `max_runtime_minutes`."
    )
    priority: int = Field(default=5, ge=0, le=9, description="Higher ones go first.")
    workspace: str | None = Field(default=None, description="The files it begins with: a tar, not compressed, in base64.")

    @field_validator("workspace")
    @classmethod
    def _is_a_tar(cls, given: str | None) -> str | None:
        if given is not None:
            _require_tar(_decoded(given))
        return given

    def files(self) -> bytes | None:
        """The workspace's tar."""
        return None if self.workspace is None else _decoded(self.workspace)

    def seconds(self) -> float:
        """How long it may run."""
        most = self.job_spec.max_runtime_minutes * 60
        if self.timeout_seconds is None:
            return most
        return min(self.timeout_seconds, most) if "max_runtime_minutes" in self.job_spec.model_fields_set else self.timeout_seconds


class AttemptRead(Read):
    """One attempt; `evidence` is the proof where memory ran out."""

    number: int
    epoch: int
    status: AttemptStatus
    engine_id: str
    target_id: str
    memory_limit_mb: int
    peak_memory_mb: int | None
    exit_code: int | None
    reason: str | None
    evidence: dict[str, Any] | None
    started_at: Moment
    ended_at: Moment | None


class JobRead(Read):
    """A job. `timeout_at` is set while it runs; `parked` says that it waits for a free slot."""

    id: uuid.UUID
    supervisor_run_id: uuid.UUID | None
    worker_config: dict[str, Any] | None
    prompt: str
    execution_target: dict[str, Any] | None
    status: Status
    result: dict[str, Any] | None
    container_id: str | None
    target_host: str | None
    retry_count: int
    memory_limit_mb: int | None
    last_failure_reason: str | None
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    timeout_at: Moment | None
    attempts: list[AttemptRead]
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
    retry_at: Moment | None


def kind_of(spec: JobSpec, agent_id: str | None) -> str:
    """What learned memory is kept by, within a tenant and an engine."""
    if spec.kind:
        return f"kind:{spec.kind}"
    if agent_id:
        return f"agent:{agent_id}"
    return f"command:{spec.commands[0][0][:255]}" if spec.commands else "-"


def _decoded(given: str) -> bytes:
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("The workspace is not base64.") from None
    if len(data) > MOST_BYTES:
        raise ValueError(f"A workspace has at most {MOST_BYTES} bytes.")
    return data


def _require_tar(data: bytes) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            archive.getmembers()
    except tarfile.TarError:
        raise ValueError("The workspace is not a tar; make one with `tar cf`, not compressed.") from None
