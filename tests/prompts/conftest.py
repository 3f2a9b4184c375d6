from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # pytest's importlib mode leaves `tests` unfindable

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
