from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.prompts.catalogue_app import client_of

from pointsman.agents import routes as agent_routes
from pointsman.agents.resolve import Catalogue
from pointsman.agents.service import AgentService
from pointsman.kit.db import Database
from pointsman.kit.notify import Listener
from pointsman.llm.models import Models
from pointsman.prompts import routes as prompt_routes
from pointsman.prompts.service import PromptService
from pointsman.settings import Settings


@pytest.fixture
async def models(settings: Settings) -> AsyncGenerator[Models]:
    models = Models(settings)
    yield models
    await models.aclose()


@pytest.fixture
def catalogue(db: Database, dsn: str) -> Catalogue:
    """As the composition root makes it; its listener does not run, so what is fresh was told in this process."""
    return Catalogue(db, Listener(dsn))


@pytest.fixture
def prompts(db: Database, catalogue: Catalogue) -> PromptService:
    return PromptService(db, changed=catalogue.forget_prompt)


@pytest.fixture
def agents(db: Database, models: Models, catalogue: Catalogue) -> AgentService:
    return AgentService(db, models, changed=catalogue.forget_agent, prompt_changed=catalogue.forget_prompt)


@pytest.fixture
async def api(prompts: PromptService, agents: AgentService) -> AsyncGenerator[httpx.AsyncClient]:
    services: dict[type, object] = {PromptService: prompts, AgentService: agents}
    async with client_of(prompt_routes.router, agent_routes.router, services=services) as client:
        yield client
