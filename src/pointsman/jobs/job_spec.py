"""What a job is to do and within which bounds; everything dangerous is off unless it is asked for and granted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pointsman.jobs.worker_config import Pattern
from pointsman.web.wire import Body

Text = Annotated[str, StringConstraints(max_length=20_000)]
Lines = Annotated[list[Annotated[str, StringConstraints(max_length=4000)]], Field(max_length=256)]
Argument = Annotated[str, StringConstraints(max_length=131_072)]
Argv = Annotated[list[Argument], Field(min_length=1, max_length=1024)]


def _none() -> list[str]:
    return []


class JobSpec(Body):
    """A job specification. Paths are relative to the workspace; memory in MB; lists of patterns are globs."""

    objective: Text = ""
    operation_mode: Literal["none", "observe_only", "safe_remediation", "dangerous_remediation"] = "none"
    environment: Text = ""
    repository: Text = ""
    allowed_directories: Lines = Field(default_factory=_none)
    forbidden_directories: Lines = Field(default_factory=_none)
    allowed_tools: list[Pattern] | None = Field(default=None, max_length=256)
    allowed_commands: list[Pattern] | None = Field(default=None, max_length=256)
    forbidden_actions: Lines = Field(default_factory=_none)
    acceptance_criteria: Lines = Field(default_factory=_none)
    verification_steps: Lines = Field(default_factory=_none)
    rollback_steps: Lines = Field(default_factory=_none)
    stop_conditions: Lines = Field(default_factory=_none)
    output_contract: Text = ""
    commands: list[Argv] = Field(default_factory=list[list[str]], max_length=256, description="For `direct_ops`: argv of each command.")
    kind: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        default=None, description="What learned memory is kept by; else the worker agent, or the first command's name."
    )
    network_access: bool = False
    allow_dependency_install: bool = False
    allow_git_push: bool = False
    allow_merge: bool = False
    allow_delete_files: bool = False
    allow_migrations: bool = False
    allow_apply_or_deploy: bool = False
    allow_production_change: bool = False
    max_runtime_minutes: float = Field(default=15, gt=0, le=24 * 60)
    max_attempts: int = Field(default=3, ge=1, le=20)
    max_memory_mb: int = Field(default=4096, ge=16, le=1_048_576)
    max_cpus: float = Field(default=2.0, gt=0, le=256)
