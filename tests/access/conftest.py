"""Managers of keys, each with a key of its own, on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.access.access_replicas import Replica, StartReplica, start_replica
from tests.access.access_scene import Desk, Line, principal_of

from pointsman.access.service import KeyService
from pointsman.kit.db import Database


@pytest.fixture
def keys(db: Database) -> KeyService:
    return KeyService(db)


@pytest.fixture
async def desk(db: Database, keys: KeyService, tmp_path: Path) -> Desk:
    """The operator's admin key, as made at the first start."""
    first = await keys.bootstrap_admin(tmp_path / "admin-key")
    assert first.api_key is not None
    return Desk(keys, await principal_of(db, first.api_key), first.api_key)


@pytest.fixture
async def line(dsn: str) -> AsyncGenerator[Line]:
    """The line of `far`."""
    with TemporaryDirectory(prefix="pm-line-", dir="/tmp") as folder:  # a socket's path must be short
        line = Line(dsn, Path(folder))
        await line.mend()
        yield line
        await line.cut()


@pytest.fixture
async def far(line: Line) -> AsyncGenerator[Database]:
    """The same database, at the end of a line that can be cut."""
    db = await Database.connect(line.dsn, pool_size=2)
    yield db
    await db.close()


@pytest.fixture
async def replica(dsn: str) -> AsyncGenerator[StartReplica]:
    """Starts replicas, each a process of its own, and stops those that still run."""
    async with _replicas(dsn) as start:
        yield start


@asynccontextmanager
async def _replicas(dsn: str) -> AsyncGenerator[StartReplica]:
    started: list[Replica] = []

    async def start(**options: Any) -> Replica:
        started.append(await start_replica(dsn, **options))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            await one.stop()
