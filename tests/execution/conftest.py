from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.execution.remote_scene import Remote, remote_agents
from tests.prompts.catalogue_app import client_of

from pointsman.execution import routes
from pointsman.execution.ports import Health
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.service import EngineService, TargetService
from pointsman.kit.db import Connection, Database
from pointsman.llm.models import Models
from pointsman.settings import Settings


@pytest.fixture
async def remote() -> AsyncGenerator[Remote]:
    async with remote_agents() as remote:
        yield remote


@pytest.fixture
async def job_id(owner: Connection) -> str:
    """A job at its first attempt, as far as engines write into it."""
    job_id = await owner.fetchval("INSERT INTO execution_jobs (id, prompt, status) VALUES (gen_random_uuid(), 'x', 'queued') RETURNING id")
    await owner.execute(
        "INSERT INTO job_details (job_id, tenant_id, worker_pool, kind, job_spec, epoch, max_attempts, timeout_seconds, most_memory_mb)"
        " VALUES ($1, '', 'p', 'k', '{}', 1, 3, 60, 512)",
        job_id,
    )
    return str(job_id)


@pytest.fixture
async def engines(db: Database, settings: Settings) -> AsyncGenerator[EngineService]:
    models = Models(settings)
    yield EngineService(db, require_model=models.require)
    await models.aclose()


@pytest.fixture
def targets(db: Database) -> TargetService:
    async def probe(target: ExecutionTarget) -> Health:
        return Health("healthy", 1.25, f"asked {target.id}", "namespaces")

    return TargetService(db, probe=probe)


@pytest.fixture
async def api(engines: EngineService, targets: TargetService) -> AsyncGenerator[httpx.AsyncClient]:
    services: dict[type, object] = {EngineService: engines, TargetService: targets}
    async with client_of(routes.router, services=services) as client:
        yield client
