from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.prompts.catalogue_app import client_of

from pointsman.kit.db import Database
from pointsman.prompts.routes import router
from pointsman.prompts.service import PromptService


@pytest.fixture
def prompts(db: Database) -> PromptService:
    return PromptService(db)


@pytest.fixture
async def api(prompts: PromptService) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(router, services={PromptService: prompts}) as client:
        yield client
