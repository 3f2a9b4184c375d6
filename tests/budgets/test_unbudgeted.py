"""Where no budget applies, a chat pays nothing for budgets: every statement of the gateway is heard."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import httpx
import pytest
from tests.api.edge_scene import client_of, make_key
from tests.budgets.budget_scene import body

from pointsman.api.app import create_app
from pointsman.bootstrap import Gateway, routers
from pointsman.kit.crypto import KeyRing
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings

CHATS = 20


class Overheard(Database):
    """A database that notes every statement."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.heard: list[str] = []

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Connection]:
        async with super().lent() as connection:
            with cast("Any", connection).query_logger(self._note):
                yield connection

    def about_budgets(self) -> list[str]:
        return [statement for statement in self.heard if "budget" in statement]

    def _note(self, record: Any) -> None:
        self.heard.append(record.query)


class Open(NamedTuple):
    """A gateway whose statements are heard."""

    http: httpx.AsyncClient
    db: Overheard

    async def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        response = await self.http.post(path, json=content)
        assert response.is_success, response.text
        return response.json()

    async def chats(self, count: int) -> None:
        for _ in range(count):
            await self.post("/v2/agents/plain/chat", {"message": "hi", "user_id": "ann"})


@pytest.fixture
async def gateway(dsn: str, owner: Connection, settings: Settings) -> AsyncGenerator[Open]:
    db = await Overheard.connect(dsn)
    assert isinstance(db, Overheard)
    gateway = Gateway(settings, dsn, db, KeyRing.open(settings.data_dir, settings.keyring.keys, make=True))
    await gateway.start()
    try:
        async with client_of(create_app(gateway, routers()), await make_key(owner, "admin")) as http:
            opened = Open(http, db)
            await opened.post("/v2/agents", {"id": "plain", "name": "plain", "template": "x", "config": {"model": "scripted:echo"}})
            yield opened
    finally:
        await gateway.close()


@pytest.mark.parametrize("others", [False, True], ids=["none at all", "only those of others"])
async def test_a_chat_that_no_budget_applies_to_runs_no_statement_of_budgets(gateway: Open, *, others: bool) -> None:
    if others:
        for kind, subject in (("tenant", "beta"), ("user", "bob")):
            await gateway.post("/v2/budgets", body(kind, subject, 0))
    await gateway.chats(1)
    gateway.db.heard.clear()
    began = time.monotonic()
    await gateway.chats(CHATS)
    passed = time.monotonic() - began
    assert sum("INSERT INTO runs" in statement for statement in gateway.db.heard) == CHATS
    # Whether budgets have changed is asked by the clock, however many chats there are meanwhile.
    looks = [statement for statement in gateway.db.about_budgets() if "FROM budgets WHERE version > $1" in statement]
    assert gateway.db.about_budgets() == looks
    assert len(looks) <= passed / 0.4 + 1


async def test_a_chat_that_one_applies_to_is_heard_to_reserve_and_to_settle(gateway: Open) -> None:
    await gateway.post("/v2/budgets", body("user", "ann", 100_000))
    await gateway.chats(1)
    gateway.db.heard.clear()
    await gateway.chats(CHATS)
    for verb in ("INSERT INTO budget_reservations", "DELETE FROM budget_reservations"):
        assert sum(verb in statement and "status IN" not in statement for statement in gateway.db.heard) == CHATS
