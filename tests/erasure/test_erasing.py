"""What a user or a tenant leaves behind after an erasure: nothing, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.retention.retention_scene import Sweeping, hurry
from tests.sessions.session_scene import Talk, principal

from pointsman.erasure.erasing import erase_batch
from pointsman.erasure.errors import DataInUse, ErasureForbidden, ErasureNotFound, ExportRequired
from pointsman.erasure.service import ErasureService
from pointsman.kit.db import Connection, Database
from pointsman.kit.ids import new_id
from pointsman.llm.port import AssistantMessage, Text, UserMessage
from pointsman.retention.kinds import Swept

OPERATOR = principal()
MARK = "xyzzymark"

# Columns by which a row could be somebody's, and why a table that has one may keep its rows.
OWNING = {"tenant_id", "user_id", "owner_id", "session_id"}
ERASED = {
    *("sessions", "messages", "runs", "past_turns", "memories", "token_usage", "usage_details", "idempotency_keys", "budgets"),
    *("user_tokens", "knowledge_entries", "api_keys", "data_exports", "job_details", "job_memory", "approvals"),
    *("supervisor_runs", "supervisor_details", "schedules", "schedule_fires", "webhook_endpoints", "webhook_deliveries"),
    *("knowledge_details", "knowledge_chunks", "knowledge_vectors", "token_connects", "token_uses"),
}
KEPT = {
    "audit_log": "who changed what, in a chain that must stay verifiable; nothing of what anybody said",
    "erasures": "that the erasure was done, and what for",
}


async def told(talk: Talk, session: str, *, tenant: str = "", user: str | None = "ann", mark: str = MARK) -> str:
    """A turn in which the user said the mark, and was answered with it."""
    run = await talk.open(session, tenant=tenant, user=user, said=UserMessage((Text(f"I am {mark}"),)))
    await talk.end(run, session, tenant=tenant, messages=[AssistantMessage((Text(f"Hello {mark}"),))], error=json.dumps({"detail": mark}))
    await supervised(talk.db, run, session, tenant=tenant, user=user, mark=mark)
    return run


async def supervised(db: Database, run: str, session: str, *, tenant: str, user: str | None, mark: str) -> None:
    """Let the run have been a supervised one, with a job."""
    async with db.transaction() as connection:
        story = await connection.fetchval(
            "INSERT INTO supervisor_runs (team_id, session_id, user_id, user_message) VALUES ('t', $1, $2, $3) RETURNING id",
            session,
            user,
            mark,
        )
        await connection.execute(
            "INSERT INTO supervisor_details (run_id, supervisor_run_id, tenant_id, stage, deadline_at) VALUES ($1, $2, $3, 'ended', now())",
            run,
            story,
            tenant,
        )
        await connection.execute("INSERT INTO execution_jobs (supervisor_run_id, prompt) VALUES ($1, $2)", story, mark)


async def furnish(owner: Connection, *, tenant: str = "", user: str = "ann", mark: str = MARK) -> None:
    """Everything else that may be somebody's, in every table."""
    stored = f"{tenant}/{user}" if tenant else user
    await owner.execute(
        "INSERT INTO memories (id, tenant_id, user_id, agent_id, content) VALUES ($1, $2, $3, 'a', $4)", new_id("mem"), tenant, user, mark
    )
    await owner.execute(
        "INSERT INTO schedules (tenant_id, id, subject_type, subject_id, cron, timezone, missed, request, user_id, key_id, paused)"
        " VALUES ($1, $2, 'agent', 'a', '0 9 * * *', 'UTC', 'skip', json_build_object('message', $3::text), $4, 1, false)",
        tenant,
        new_id("sch"),
        mark,
        user,
    )
    await owner.execute(
        "INSERT INTO schedule_fires (tenant_id, schedule_id, due_at, run_id, status) SELECT tenant_id, id, now(), 'r', 'started'"
        " FROM schedules WHERE tenant_id = $1 AND user_id = $2",
        tenant,
        user,
    )
    if tenant:
        await owner.execute(
            "INSERT INTO webhook_endpoints (id, tenant_id, name, url, event_types, encrypted_secret) VALUES ($1, $2, $3, 'u', '{}', 's')",
            f"whk_{tenant}",
            tenant,
            mark,
        )
        await owner.execute(
            "INSERT INTO webhook_deliveries (id, tenant_id, user_id, endpoint_id, event_id, event_type, subject_id, payload)"
            " VALUES ($1, $2, $3, $4, 'e', 'run.completed', 's', $5)",
            new_id("dlv"),
            tenant,
            user,
            f"whk_{tenant}",
            mark,
        )
    await owner.execute(
        "INSERT INTO user_tokens (user_id, integration_key, provider, token_type, encrypted_token_data) VALUES ($1, 'k', 'p', 'jwt', $2)",
        stored,
        mark,
    )
    await owner.execute(
        "INSERT INTO token_connects (id, tenant_id, user_id, integration_key, provider, scopes, key_id, start_hash, expires_at)"
        " VALUES ($1, $2, $3, 'k', $4, '{}', 1, $1, now())",
        new_id("con"),
        tenant,
        user,
        mark,
    )
    await owner.execute(
        "INSERT INTO token_uses (at, tenant_id, user_id, integration_key, provider, run_id, tool)"
        " VALUES (now(), $1, $2, 'k', 'p', 'r', $3)",
        tenant,
        user,
        mark,
    )
    await owner.execute(
        """
        INSERT INTO budgets (tenant_id, id, name, subject_type, subject_id, unit, period, by_operator, version)
        SELECT $1, $2, $3, 'user', $4, 'tokens', 'day', false, coalesce(max(version), 0) + 1 FROM budgets
        """,
        tenant,
        new_id("bud"),
        mark,
        user,
    )
    if tenant:
        await owner.execute(
            "INSERT INTO knowledge_entries (tenant_id, file_id, original_filename, file_type) SELECT $1, gen_random_uuid(), $2, 'project'",
            tenant,
            mark,
        )
        await owner.execute("INSERT INTO api_keys (key_hash, name, owner_id, scopes) VALUES ($1, $2, $1, '[]')", tenant, mark)


async def user_of_usage(owner: Connection, run: str, user: str) -> None:
    await owner.execute("UPDATE token_usage SET user_id = $2 WHERE id IN (SELECT usage_id FROM usage_details WHERE run_id = $1)", run, user)


async def finish(db: Database, owner: Connection, *, batch: int = 500) -> Sweeping:
    sweeping = Sweeping(db, kinds={"erasures": erase_batch}, batch=batch)
    async with asyncio.timeout(60):
        await sweeping.lap(owner)
    return sweeping


async def places_of(owner: Connection, text: str) -> list[str]:
    """Every table in which any column of any row holds the text."""
    tables = await owner.fetch("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'prompts')")
    found: list[str] = []
    for row in tables:
        schema, table = row["schemaname"], row["tablename"]
        if await owner.fetchval(f'SELECT EXISTS (SELECT FROM "{schema}"."{table}" t WHERE strpos(t::text, $1) > 0)', text):
            found.append(table)
    return sorted(found)


async def lines_of(lines: AsyncGenerator[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for chunk in [chunk async for chunk in lines] for line in chunk.splitlines()]


async def test_a_user_is_erased_from_every_table_and_what_was_spent_stays_counted(
    talk: Talk, db: Database, owner: Connection, service: ErasureService
) -> None:
    run = await told(talk, "s")
    await user_of_usage(owner, run, "ann")
    await furnish(owner)
    assert {"messages", "runs", "memories", "user_tokens", "budgets"} <= set(await places_of(owner, MARK))
    erasure = await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    assert erasure.status == "running"
    await finish(db, owner)
    assert await places_of(owner, MARK) == []
    assert await places_of(owner, run) == []
    assert await places_of(owner, '"ann"') + await places_of(owner, ",ann,") == ["audit_log", "erasures"]
    assert await owner.fetchval("SELECT sum(total_tokens) FROM token_usage") == 7
    done = await service.require_erasure(OPERATOR, erasure.id)
    assert done.status == "completed"
    assert done.counts["usage"] == done.counts["memories"] == done.counts["budgets"] == 1
    entries = await owner.fetch("SELECT action, object_type, object_id FROM audit_log ORDER BY id")
    assert [tuple(entry) for entry in entries] == [("data.erasure_requested", "user", "ann"), ("data.erased", "user", "ann")]  # pyright: ignore[reportArgumentType] - a record is its values


async def test_a_tenant_is_erased_with_its_keys_usage_and_knowledge(
    talk: Talk, db: Database, owner: Connection, service: ErasureService
) -> None:
    await told(talk, "s", tenant="acme")
    await told(talk, "t", tenant="acme", user=None)
    await furnish(owner, tenant="acme")
    await service.erase_tenant(OPERATOR, "acme", export_id=None, without_export=True)
    assert await owner.fetchval("SELECT bool_or(is_active) FROM api_keys") is False
    await finish(db, owner)
    assert await places_of(owner, MARK) == []
    assert await places_of(owner, "acme") == ["audit_log", "erasures"]
    for table in ("sessions", "messages", "runs", "run_events", "token_usage", "usage_details", "api_keys", "knowledge_entries"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_another_tenants_user_of_the_same_name_is_untouched(
    talk: Talk, db: Database, owner: Connection, service: ErasureService
) -> None:
    for tenant in ("", "acme", "other"):
        await told(talk, "s", tenant=tenant, mark=f"mark{tenant}")
        await furnish(owner, tenant=tenant, mark=f"mark{tenant}")
    await told(talk, "bob", tenant="acme", user="bob", mark="markbob")
    await service.erase_user(principal(owner="acme"), "ann", export_id=None, without_export=True)
    before = {mark: await places_of(owner, mark) for mark in ("markother", "markbob")}
    await finish(db, owner)
    assert {mark: await places_of(owner, mark) for mark in before} == before
    # What is the tenant's and not the user's stays.
    assert await places_of(owner, "markacme") == ["api_keys", "knowledge_entries", "webhook_endpoints"]
    assert await owner.fetchval("SELECT count(*) FROM memories WHERE tenant_id = ''") == 1


async def test_an_erasure_goes_in_small_batches_and_a_killed_one_goes_on(
    talk: Talk, db: Database, owner: Connection, service: ErasureService
) -> None:
    for number in range(12):
        await told(talk, f"s{number % 3}")
    await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    inside = asyncio.Event()

    async def dying(connection: Connection, place: Any, most: int) -> Swept:
        await erase_batch(connection, place, most)
        inside.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = Sweeping(db, kinds={"erasures": erase_batch}, batch=7)
    await first.sweeper.run_once()
    assert first.deleted == [("erasures", 7)]
    await hurry(owner)
    died = asyncio.create_task(Sweeping(db, kinds={"erasures": dying}, batch=7).sweeper.run_once())
    await asyncio.wait_for(inside.wait(), 10)
    died.cancel()
    await asyncio.gather(died, return_exceptions=True)
    rest = await finish(db, owner, batch=7)
    assert all(rows <= 7 for _, rows in rest.deleted)
    assert await places_of(owner, MARK) == []
    counts = json.loads(await owner.fetchval("SELECT counts FROM erasures"))
    assert counts["sessions"] == 12 * 5 + 3


async def test_without_an_export_nothing_is_erased(talk: Talk, owner: Connection, service: ErasureService) -> None:
    await told(talk, "s")
    await told(talk, "t", user="bob")
    for export_id in (None, "exp_none", (await lines_of(service.export_user(OPERATOR, "bob")))[-1]["export_id"]):
        with pytest.raises(ExportRequired):
            await service.erase_user(OPERATOR, "ann", export_id=export_id, without_export=False)
    *_, end = await lines_of(service.export_user(OPERATOR, "ann"))
    await owner.execute("UPDATE data_exports SET completed_at = now() - interval '8 days'")
    with pytest.raises(ExportRequired):
        await service.erase_user(OPERATOR, "ann", export_id=end["export_id"], without_export=False)
    await owner.execute("UPDATE data_exports SET completed_at = now()")
    assert (await service.erase_user(OPERATOR, "ann", export_id=end["export_id"], without_export=False)).status == "running"


async def test_an_export_holds_all_that_an_erasure_takes_and_no_secret(talk: Talk, owner: Connection, service: ErasureService) -> None:
    for number in range(450):
        await told(talk, f"s{number % 7}", tenant="acme")
    await furnish(owner, tenant="acme", mark="secretmark")
    lines = await lines_of(service.export_tenant(OPERATOR, "acme"))
    end = lines.pop()
    assert end["counts"] == {
        "session": 7,
        "message": 900,
        "run": 450,
        "supervised_run": 450,
        "memory": 1,
        "usage": 450,
        "budget": 1,
        "credential": 1,
        "credential_use": 1,
        "knowledge": 1,
        "key": 1,
    }
    assert {kind: sum(line["kind"] == kind for line in lines) for kind in end["counts"]} == end["counts"]
    assert len({json.dumps(line) for line in lines}) == len(lines)
    for line in lines:
        assert "encrypted_token_data" not in line["data"]
        assert "key_hash" not in line["data"]
    assert len(await lines_of(service.export_user(principal(owner="acme"), "bob"))) == 1


async def test_what_is_in_use_is_refused_and_the_run_is_named(talk: Talk, service: ErasureService) -> None:
    run = await talk.open("s", user="ann")
    with pytest.raises(DataInUse) as refused:
        await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    assert refused.value.fields["run_id"] == run


async def test_asking_again_tells_how_far_it_is(talk: Talk, db: Database, owner: Connection, service: ErasureService) -> None:
    await told(talk, "s")
    first = await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    assert (await service.erase_user(OPERATOR, "ann", export_id=None, without_export=False)).id == first.id
    await finish(db, owner)
    again = await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    assert again.id != first.id
    await finish(db, owner)
    assert sum((await service.require_erasure(OPERATOR, again.id)).counts.values()) == 0


async def test_a_tenant_can_neither_erase_tenants_nor_see_erasures_of_others(service: ErasureService) -> None:
    for caller in (principal(owner="acme"), principal(tenant="acme")):
        with pytest.raises(ErasureForbidden):
            await service.erase_tenant(caller, "acme", export_id=None, without_export=True)
        with pytest.raises(ErasureForbidden):
            service.export_tenant(caller, "acme")
    erasure = await service.erase_user(principal(owner="other"), "ann", export_id=None, without_export=True)
    with pytest.raises(ErasureNotFound):
        await service.require_erasure(principal(owner="acme"), erasure.id)


async def test_a_run_that_was_let_in_at_the_last_moment_is_waited_for(
    talk: Talk, db: Database, owner: Connection, service: ErasureService
) -> None:
    await told(talk, "s")
    erasure = await service.erase_user(OPERATOR, "ann", export_id=None, without_export=True)
    run = await talk.open("late", user="ann", said=UserMessage((Text(MARK),)))
    sweeping = Sweeping(db, kinds={"erasures": erase_batch})
    for _ in range(3):
        await sweeping.sweeper.run_once()
        await hurry(owner)
    assert (await service.require_erasure(OPERATOR, erasure.id)).status == "running"
    await talk.end(run, "late")
    await finish(db, owner)
    assert await places_of(owner, MARK) == []
    assert (await service.require_erasure(OPERATOR, erasure.id)).status == "completed"


async def test_every_table_that_holds_somebodys_rows_is_erased_or_argued(owner: Connection) -> None:
    rows = await owner.fetch(
        """
        SELECT DISTINCT table_name::text AS name FROM information_schema.columns
        WHERE table_schema IN ('public', 'prompts') AND column_name = ANY ($1)
        """,
        list(OWNING),
    )
    assert {row["name"] for row in rows} == ERASED | KEPT.keys()
