from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
from tests.fakes.upstream import Upstream, start_upstream
from tests.sessions.session_scene import Talk, talking

from pointsman.erasure.service import ErasureService
from pointsman.kit.db import Database


@pytest.fixture
async def talk(db: Database) -> AsyncGenerator[Talk]:
    async with talking(db) as talk:
        yield talk


@pytest.fixture
def service(db: Database) -> ErasureService:
    return ErasureService(db)


@pytest.fixture
def upstream() -> Generator[Upstream]:
    with start_upstream() as upstream:
        yield upstream
