from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.supervision.supervision_scene import Supervision, supervising

from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings


@pytest.fixture
async def scene(db: Database, owner: Connection, settings: Settings) -> AsyncGenerator[Supervision]:
    async with supervising(db, owner, settings) as scene:
        yield scene
