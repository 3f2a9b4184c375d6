"""What a job may do: the intersection of the target's and the engine's policy, the agent's `worker_config` and the job's own wishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import SecretStr

from pointsman.execution.allowance import Allowance
from pointsman.execution.connections import Capacity, Connection, read_capacity, read_connection
from pointsman.execution.errors import SandboxRefused
from pointsman.execution.grants import EVERYBODY, Danger, OperatorPolicy, SecretRef
from pointsman.execution.handlers import read_handler
from pointsman.execution.ports import Mount, SandboxSpec
from pointsman.execution.rows import ExecutionEngine, ExecutionTarget
from pointsman.execution.secrets import reveal
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import Permissions, WorkerConfig

DANGERS: tuple[Danger, ...] = get_args(Danger)
# Runners say where a home is and where programs are; the rest is the same everywhere.
_PLAIN = {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}  # compiled files are nobody's work


def why_not(target: ExecutionTarget, tenant: str, spec: JobSpec, memory_mb: int | None = None) -> str:
    """Why a job cannot be had on this target at all, as a sentence; empty where it can. `tenant` is empty for the operator's own."""
    granted = read_connection(target.type, target.connection_config)
    capacity = read_capacity(target.capacity)
    if tenant and not {tenant, EVERYBODY} & set(granted.tenants):
        return f"The target {target.id} is not there for the tenant {tenant}."
    if spec.network_access and not granted.network:
        return f"The job asks for network access, which the target {target.id} does not grant."
    if memory_mb is not None and memory_mb > capacity.memory_mb:
        return f"The job asks for {memory_mb} MB of memory, and the target {target.id} grants {capacity.memory_mb} MB."
    return ""


def allow(target: ExecutionTarget, engine: ExecutionEngine, worker: WorkerConfig, spec: JobSpec, *, tenant: str) -> Allowance:
    """What an attempt of the job may do there. Raises SandboxRefused."""
    refused = why_not(target, tenant, spec)
    if refused:
        raise SandboxRefused(refused, hint="Choose another target, ask for less, or have the operator change the target.")
    granted = read_connection(target.type, target.connection_config)
    return _intersect(granted, read_capacity(target.capacity), read_handler(engine.type, engine.handler_config).policy, worker, spec)


def tightened(worker: WorkerConfig, allowance: Allowance) -> WorkerConfig:
    """The worker's config with what operators deny and want to be asked for, which permits are judged by."""
    given = worker.permissions
    permissions = Permissions.model_construct(
        allow=given.allow, deny=_joined(given.deny, allowance.deny), ask=_joined(given.ask, allowance.ask)
    )
    return worker.model_copy(update={"permissions": permissions})


def sandbox_spec(allowance: Allowance, handle: str, memory_mb: int, secrets: Mapping[str, SecretStr]) -> SandboxSpec:
    """The sandbox of an attempt with `memory_mb`, or as much of that as it may have. Raises TargetFailed where a secret is not set."""
    env = {name: reveal(value, secrets) if isinstance(value, SecretRef) else value for name, value in allowance.env.items()}
    return SandboxSpec(
        handle=handle,
        memory_mb=min(memory_mb, allowance.memory_mb),
        cpus=allowance.cpus,
        network=allowance.network,
        mounts=tuple(Mount(*mount) for mount in allowance.mounts),
        env={**_PLAIN, **env},
    )


def _intersect(granted: Connection, capacity: Capacity, engine: OperatorPolicy, worker: WorkerConfig, spec: JobSpec) -> Allowance:
    operators = (granted.policy, engine)
    everyone = (*operators, worker, spec)
    minutes = [policy.max_runtime_minutes for policy in operators if policy.max_runtime_minutes is not None]
    return Allowance(
        memory_mb=min(capacity.memory_mb, spec.max_memory_mb),
        cpus=min(capacity.cpus, spec.max_cpus),
        runtime_minutes=min([spec.max_runtime_minutes, *minutes]),
        network=granted.network and spec.network_access,
        mounts=tuple((mount.source, mount.path, mount.writable) for mount in granted.mounts),
        env=dict(granted.env),
        dangers=frozenset(danger for danger in DANGERS if _is_on(danger, operators, spec)),
        tools=tuple(tuple(one.allowed_tools) for one in everyone if one.allowed_tools is not None),
        commands=tuple(tuple(one.allowed_commands) for one in everyone if one.allowed_commands is not None),
        deny=tuple(pattern for policy in operators for pattern in policy.deny),
        ask=tuple(pattern for policy in operators for pattern in policy.ask),
    )


def _is_on(danger: Danger, operators: tuple[OperatorPolicy, ...], spec: JobSpec) -> bool:
    asked: bool = getattr(spec, f"allow_{danger}")
    return asked and all(policy.dangerous is None or danger in policy.dangerous for policy in operators)


def _joined(one: list[str], other: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))
