from __future__ import annotations

import pytest
from tests.jobs.job_scene import Scene

from pointsman.kit.db import Connection, Database


@pytest.fixture
async def scene(db: Database, owner: Connection) -> Scene:
    scene = Scene(db, owner)
    await scene.target("local")
    return scene
