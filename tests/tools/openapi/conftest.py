from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from tests.prompts.catalogue_app import CALLER
from tests.tools.openapi.api import HOST, OPERATIONS, FakeApi, answering, pets_at, referring

from pointsman.credentials.using import RunUser
from pointsman.kit.db import Connection, Database
from pointsman.kit.egress import Egress
from pointsman.tools.openapi.rows import OpenApiTools
from pointsman.tools.openapi.schemas import OpenApiToolsCreate
from pointsman.tools.openapi.service import OpenApiToolsService
from pointsman.tools.openapi.toolbox import OpenApiSource, OpenApiToolbox

USER = RunUser("acme", "ann", "run_1")


@dataclass
class Scene:
    """An API, whoever registers it and whoever calls it."""

    api: FakeApi
    db: Database
    owner: Connection
    service: OpenApiToolsService
    source: OpenApiSource

    async def register(self, tools_id: str = "pets", **changes: Any) -> OpenApiTools:
        return await self.service.create_tools(CALLER, OpenApiToolsCreate.model_validate(self.body(tools_id, **changes)))

    def body(self, tools_id: str = "pets", **changes: Any) -> dict[str, Any]:
        return {"id": tools_id, "name": "Pets", "document": pets_at(self.api.url), "operations": OPERATIONS} | changes

    async def toolbox(self, *operations: str, user: RunUser = USER) -> OpenApiToolbox:
        """The tools of `pets` for a run."""
        reference: dict[str, Any] = {"type": "openapi", "name": "pets"} | ({"operations": list(operations)} if operations else {})
        return await self.source.open([reference], user)


@pytest.fixture
async def scene(db: Database, owner: Connection) -> AsyncGenerator[Scene]:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(answering())
        references = await stack.enter_async_context(referring(db, {"pets_key": "s3cret-of-pets/+"}))
        egress = Egress([HOST])
        stack.push_async_callback(egress.aclose)
        yield Scene(api, db, owner, OpenApiToolsService(db, egress, references), OpenApiSource(db, egress, references))
