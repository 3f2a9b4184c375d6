from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # pytest's importlib mode leaves `tests` unfindable

from tests.usage.usage_scene import Books

from pointsman.kit.db import Connection, Database


@pytest.fixture
def books(db: Database, owner: Connection) -> Books:
    return Books(db, owner)
