from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.prompts.catalogue_app import client_of

from pointsman.execution import routes
from pointsman.execution.ports import Health
from pointsman.execution.rows import ExecutionTarget
from pointsman.execution.service import EngineService, TargetService
from pointsman.kit.db import Database
from pointsman.llm.models import Models
from pointsman.settings import Settings


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
