from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from tests.retention.retention_scene import Past
from tests.sessions.session_scene import talking

from pointsman.kit.db import Connection, Database


@pytest.fixture
async def past(db: Database, owner: Connection) -> AsyncGenerator[Past]:
    async with talking(db) as talk:
        yield Past(talk, owner)
