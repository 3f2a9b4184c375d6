from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.prompts.catalogue_app import client_of
from tests.sessions.session_scene import Talk, talking

from pointsman.agents.errors import AgentNotFound
from pointsman.kit.db import Database
from pointsman.sessions.routes import router
from pointsman.sessions.service import MemoryService, SessionService


@pytest.fixture
def sessions(db: Database) -> SessionService:
    return SessionService(db)


@pytest.fixture
def memories(db: Database) -> MemoryService:
    return MemoryService(db, require_agent=require_agent)


async def require_agent(agent_id: str) -> None:
    if agent_id == "nobody":
        raise AgentNotFound("There is no active agent nobody.")


@pytest.fixture
async def talk(db: Database) -> AsyncGenerator[Talk]:
    async with talking(db) as talk:
        yield talk


@pytest.fixture
async def api(sessions: SessionService, memories: MemoryService) -> AsyncGenerator[httpx.AsyncClient]:
    """As an operator that named no tenant."""
    async with client_of(router, services={SessionService: sessions, MemoryService: memories}) as client:
        yield client
