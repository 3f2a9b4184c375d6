"""Reading a request for a job: which engine, target and pool it names, whether they are there, and whether the caller may use them."""

from __future__ import annotations

import difflib
import uuid
from collections.abc import Sequence

from pointsman.jobs import queries
from pointsman.jobs.errors import JobTargetForbidden
from pointsman.jobs.rows import NewJob
from pointsman.jobs.schemas import JobCreate, kind_of
from pointsman.jobs.targets import is_open_to
from pointsman.jobs.worker_config import DEFAULT_POOL
from pointsman.kit import json_text
from pointsman.kit.db import Connection, Record
from pointsman.kit.principal import Principal
from pointsman.kit.problems import FieldError, InvalidRequest


async def described(connection: Connection, principal: Principal, body: JobCreate, job_id: uuid.UUID) -> NewJob:
    """The job that is asked for. Raises InvalidRequest, JobTargetForbidden."""
    await _require_engine(connection, body)
    target = await _find_target(connection, principal, body)
    spec = body.job_spec
    return NewJob(
        id=job_id,
        tenant_id=principal.tenant_key,
        key_id=principal.key_id,
        prompt=body.prompt,
        kind=kind_of(spec, None),
        job_spec=spec.model_dump_json(exclude_unset=True),
        worker_config=body.worker_config.model_dump_json(exclude_unset=True) if body.worker_config else None,
        timeout_seconds=body.seconds(),
        max_attempts=spec.max_attempts,
        most_memory_mb=spec.max_memory_mb,
        memory_mb=body.memory_limit_mb,
        engine_id=body.engine or (body.worker_config.execution_engine_preference if body.worker_config else None),
        target_id=body.target,
        worker_pool=await _pool(connection, body, target),
        priority=body.priority,
        workspace=body.files(),
    )


async def _require_engine(connection: Connection, body: JobCreate) -> None:
    preferred = body.worker_config.execution_engine_preference if body.worker_config else None
    engine_id = body.engine or preferred
    if engine_id is None:
        return
    engines = await queries.list_engines(connection)
    if engine_id not in engines:
        where = "/engine" if body.engine else "/worker_config/execution_engine_preference"
        raise _unknown(where, "engine", engine_id, engines)


async def _find_target(connection: Connection, principal: Principal, body: JobCreate) -> Record | None:
    if body.target is None:
        return None
    targets = {row["id"]: row for row in await queries.list_targets(connection)}
    target = targets.get(body.target)
    if target is None:
        raise _unknown("/target", "target", body.target, list(targets))
    tenants = json_text.decode(target["tenants"]) if target["tenants"] else None
    if not is_open_to(body.target, tenants, principal.tenant_key):
        raise JobTargetForbidden(
            f"The target {body.target} does not take jobs of this tenant.",
            hint="Leave `target` out, or have an operator list the tenant in its `connection_config.tenants`.",
        )
    return target


async def _pool(connection: Connection, body: JobCreate, target: Record | None) -> str:
    config = body.worker_config
    configured = config.worker_pool if config and "worker_pool" in config.model_fields_set else None
    asked = body.worker_pool or configured
    if target is not None:
        if body.worker_pool not in {None, target["worker_pool"]}:
            message = f"The target {target['id']} belongs to the pool {target['worker_pool']}."
            raise InvalidRequest(message, hint="Leave `worker_pool` out.", errors=(FieldError("/worker_pool", message),))
        return target["worker_pool"]
    if asked is None:
        return DEFAULT_POOL
    pools = sorted({row["worker_pool"] for row in await queries.list_targets(connection)} | {DEFAULT_POOL})
    if asked not in pools:
        raise _unknown("/worker_pool" if body.worker_pool else "/worker_config/worker_pool", "target in the pool", asked, pools)
    return asked


def _unknown(pointer: str, noun: str, name: str, known: Sequence[str]) -> InvalidRequest:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known[:20]) or 'none'}."
    message = f"There is no active {noun} {name!r}."
    return InvalidRequest(message, hint=hint, errors=(FieldError(pointer, f"{message} {hint}"),))
