from __future__ import annotations

import pytest
from tests.knowledge.knowledge_scene import Scene

from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings


@pytest.fixture
def scene(db: Database, owner: Connection, settings: Settings) -> Scene:
    return Scene.of(db, owner, settings)
