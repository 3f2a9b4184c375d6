"""The edge over a small slice of routes."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator

import httpx
import pytest
from tests.api.edge_scene import SmallGateway, client_of, make_app, make_key

from pointsman.api.app import create_app
from pointsman.api.door import Door
from pointsman.bootstrap import Gateway, routers
from pointsman.kit import log
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings


@pytest.fixture(autouse=True)
def told() -> io.StringIO:
    """What was logged, as in production."""
    stream = io.StringIO()
    log.configure(level="debug", stream=stream)
    return stream


@pytest.fixture
async def gateway(settings: Settings, db: Database) -> SmallGateway:
    return SmallGateway(settings, db)


@pytest.fixture
async def app(gateway: SmallGateway) -> Door:
    return make_app(gateway)


@pytest.fixture
async def admin(owner: Connection) -> str:
    return await make_key(owner, "admin")


@pytest.fixture
async def client(app: Door, admin: str) -> AsyncGenerator[httpx.AsyncClient]:
    """Calls in this process, with an operator's admin key."""
    async with client_of(app, admin) as client:
        yield client


@pytest.fixture
async def stranger(app: Door) -> AsyncGenerator[httpx.AsyncClient]:
    """Calls without a key."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def whole(settings: Settings, dsn: str) -> AsyncGenerator[Door]:
    """The whole product's application, with everything running behind it."""
    gateway = await Gateway.open(settings, dsn)
    await gateway.start()
    try:
        yield create_app(gateway, routers())
    finally:
        await gateway.close()
