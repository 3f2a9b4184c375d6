from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.access.access_scene import Line
from tests.sessions.session_scene import Talk, talking

from pointsman.kit.db import Database


@pytest.fixture
async def talk(db: Database) -> AsyncGenerator[Talk]:
    async with talking(db) as talk:
        yield talk


@pytest.fixture
async def line(dsn: str, tmp_path: Path) -> AsyncGenerator[Line]:
    """A way to the test's database that can be cut and held up."""
    async with _laid(dsn, tmp_path / "line") as line:
        yield line


@pytest.fixture
async def other_line(dsn: str, tmp_path: Path) -> AsyncGenerator[Line]:
    """Another way to the same database."""
    async with _laid(dsn, tmp_path / "other") as line:
        yield line


@asynccontextmanager
async def _laid(dsn: str, folder: Path) -> AsyncGenerator[Line]:
    folder.mkdir()
    line = Line(dsn, folder)
    await line.mend()
    yield line
    await line.cut()
