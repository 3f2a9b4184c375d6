"""Skills by themselves over HTTP, and agents with skills on a gateway with a sandbox of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.chat.conftest import caller, scene
from tests.prompts.catalogue_app import client_of

from pointsman.kit.db import Database
from pointsman.skills.routes import router
from pointsman.skills.service import SkillService

__all__ = ["caller", "scene"]


@pytest.fixture
def skills(db: Database) -> SkillService:
    return SkillService(db)


@pytest.fixture
async def api(skills: SkillService) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(router, services={SkillService: skills}) as client:
        yield client
