from __future__ import annotations

import pytest
from tests.usage.usage_scene import Books

from pointsman.kit.db import Connection, Database


@pytest.fixture
def books(db: Database, owner: Connection) -> Books:
    return Books(db, owner)
