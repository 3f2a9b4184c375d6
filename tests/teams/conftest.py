from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.prompts.catalogue_app import client_of

from pointsman.agents import routes as agent_routes
from pointsman.agents.service import AgentService
from pointsman.kit.db import Database
from pointsman.llm.models import Models
from pointsman.settings import Settings
from pointsman.teams import routes as team_routes
from pointsman.teams.service import TeamService


@pytest.fixture
async def agents(db: Database, settings: Settings) -> AsyncGenerator[AgentService]:
    models = Models(settings)
    yield AgentService(db, models)
    await models.aclose()


@pytest.fixture
def teams(db: Database) -> TeamService:
    return TeamService(db)


@pytest.fixture
async def api(agents: AgentService, teams: TeamService) -> AsyncGenerator[httpx.AsyncClient]:
    services: dict[type, object] = {AgentService: agents, TeamService: teams}
    async with client_of(agent_routes.router, team_routes.router, services=services) as client:
        for name in ("ann", "bob", "cid"):
            agent = {"id": name, "name": name.title(), "description": f"{name} helps", "template": "Help."}
            assert (await client.post("/v2/agents", json=agent | {"config": {"model": "scripted:echo"}})).status_code == 201
        yield client
