from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from pointsman.audit.errors import AuditVerifyForbidden
from pointsman.audit.routes import router
from pointsman.audit.service import AuditService, record
from pointsman.kit import log
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.web.deps import PRINCIPAL, SERVICES

OPERATOR = Principal(key_id=1, key_name="root", owner_id=None, scopes=frozenset({"admin"}), tenant=None)
ACME = Principal(key_id=2, key_name="acme-admin", owner_id="acme", scopes=frozenset({"audit:read"}), tenant="acme")
FOR_ACME = Principal(key_id=1, key_name="root", owner_id=None, scopes=frozenset({"admin"}), tenant="acme")


async def change(db: Database, principal: Principal | None, action: str = "agent.updated", object_id: str = "a", **options: Any) -> None:
    async with db.transaction() as connection:
        await record(connection, principal, action, "agent", object_id, options.pop("detail", {}), **options)


async def test_an_entry_says_who_did_what_to_which_object_in_which_request(db: Database) -> None:
    with log.bound(request_id="req_1"):
        await change(db, ACME, detail={"name": ["old", "new"], "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)})
    (entry,) = (await AuditService(db).list_entries(OPERATOR)).items
    assert (entry.actor, entry.actor_key_id, entry.tenant, entry.action) == ("acme-admin", 2, "acme", "agent.updated")
    assert (entry.object_type, entry.object_id, entry.request_id, entry.seal) == ("agent", "a", "req_1", None)
    assert entry.detail == {"name": ["old", "new"], "at": "2026-01-01T00:00:00+00:00"}


async def test_without_a_key_the_entry_names_the_system_or_the_command_line(db: Database) -> None:
    await change(db, None)
    await change(db, None, actor="cli", tenant="acme")
    newest, oldest = (await AuditService(db).list_entries(OPERATOR)).items
    assert (oldest.actor, oldest.actor_key_id, oldest.tenant) == ("system", None, None)
    assert (newest.actor, newest.tenant) == ("cli", "acme")


async def test_an_entry_is_there_if_and_only_if_its_change_is(db: Database) -> None:
    async def failing_change() -> None:
        async with db.transaction() as connection:
            await record(connection, OPERATOR, "agent.updated", "agent", "a", {})
            raise RuntimeError("the change failed")

    with pytest.raises(RuntimeError):
        await failing_change()
    assert not (await AuditService(db).list_entries(OPERATOR)).items


async def test_a_secret_in_the_detail_is_taken_out(db: Database, owner: Connection) -> None:
    await change(db, OPERATOR, detail={"token_data": {"refresh": "hunter2"}, "note": "Bearer hunter2hunter2", "key": "pm_" + "a" * 49})
    stored = await owner.fetchval("SELECT detail::text FROM audit_log")
    assert "hunter2" not in stored
    assert "aaaa" not in stored


async def test_a_tenants_key_sees_its_tenants_entries_and_no_others(db: Database) -> None:
    for principal in (OPERATOR, ACME, FOR_ACME):
        await change(db, principal)
    await change(db, None, tenant="other")
    service = AuditService(db)
    assert len((await service.list_entries(OPERATOR)).items) == 4
    for principal in (ACME, FOR_ACME):
        assert [entry.actor for entry in (await service.list_entries(principal)).items] == ["root", "acme-admin"]


async def test_the_list_narrows_by_each_filter_and_pages_through_all(db: Database) -> None:
    for number in range(5):
        await change(db, OPERATOR, "agent.created", f"a{number}")
    await change(db, ACME, "key.revoked", "a1")
    service = AuditService(db)
    assert len((await service.list_entries(OPERATOR, action="agent.created")).items) == 5
    assert len((await service.list_entries(OPERATOR, object_id="a1")).items) == 2
    assert len((await service.list_entries(OPERATOR, object_id="a1", key_id=2)).items) == 1
    assert len((await service.list_entries(OPERATOR, object_type="agent")).items) == 6
    assert not (await service.list_entries(OPERATOR, object_type="prompt")).items
    now = dt.datetime.now(dt.UTC)
    assert len((await service.list_entries(OPERATOR, since=now - dt.timedelta(hours=1), until=now + dt.timedelta(hours=1))).items) == 6
    assert not (await service.list_entries(OPERATOR, since=now + dt.timedelta(hours=1))).items
    seen, cursor = list[int](), None
    while True:
        page = await service.list_entries(OPERATOR, limit=2, cursor=cursor)
        seen += [entry.id for entry in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)


async def test_only_an_operator_of_all_tenants_verifies(db: Database) -> None:
    service = AuditService(db)
    assert (await service.verify(OPERATOR)).is_sound
    for principal in (ACME, FOR_ACME):
        with pytest.raises(AuditVerifyForbidden):
            await service.verify(principal)


async def test_the_service_cannot_change_or_remove_entries_at_all(db: Database) -> None:
    await change(db, OPERATOR)
    for statement in ("DELETE FROM audit_log", "UPDATE audit_log SET actor = 'x'", "TRUNCATE audit_log", "DELETE FROM audit_head"):
        async with db.connection() as connection:
            with pytest.raises(Exception, match="permission denied"):
                await connection.execute(statement)


async def test_the_routes_answer_pages_and_verdicts(db: Database) -> None:
    app = FastAPI()
    app.include_router(router)

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {SERVICES: {AuditService: AuditService(db)}}
        scope[PRINCIPAL] = OPERATOR
        await app(scope, receive, send)

    await asyncio.gather(*(change(db, ACME, object_id=f"a{number}") for number in range(3)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=edge), base_url="http://test") as client:
        page = (await client.get("/v2/audit", params={"limit": 2, "from": "2020-01-01T00:00:00Z", "key_id": 2})).json()
        assert (len(page["items"]), page["items"][0]["tenant"], page["items"][0]["seal"]) == (2, "acme", None)
        assert page["items"][0]["at"].endswith("Z")
        rest = (await client.get("/v2/audit", params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert (len(rest["items"]), rest["next_cursor"]) == (1, None)
        for moment in ("yesterday", "0.5", "2026-01-01", "2026-01-01T00:00:00"):
            assert (await client.get("/v2/audit", params={"from": moment})).status_code == 422
        assert (await client.get("/v2/audit", params={"key_id": 2**40})).status_code == 422
        verdict = (await client.get("/v2/audit/verify")).json()
        assert (verdict["sound"], verdict["sealed"], verdict["unsealed"], verdict["faults"]) == (True, 0, 3, [])
