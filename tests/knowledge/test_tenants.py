"""No search of a tenant gives another's: with the statement's own condition taken out, and with row-level security off."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.knowledge.knowledge_scene import OPERATOR, Scene, of

from pointsman.kit.db import Connection
from pointsman.kit.principal import Principal
from pointsman.knowledge.errors import KnowledgeNotFound
from pointsman.knowledge.finding import Mode, Near, Sought, search, statement
from pointsman.knowledge.tenants import within_tenant

TENANTS = [f"t{number}" for number in range(20)]
EACH = 1000
MODES: list[Mode] = ["text", "vector", "hybrid"]
_FILL = """
INSERT INTO knowledge_entries (tenant_id, file_id, original_filename, file_type, status, knowledge_status)
SELECT t, gen_random_uuid(), t || '.txt', 'company', 'active', 'indexed' FROM unnest($1::text[]) AS t
"""
_FILL_CHUNKS = """
INSERT INTO knowledge_chunks (tenant_id, entry_id, ordinal, content, tokens)
SELECT e.tenant_id, e.id, n, 'word' || n || ' is shared, and this belongs to ' || e.tenant_id, 8
FROM knowledge_entries e, generate_series(1, $1::int) AS n
"""
# Each tenant's vectors are as near to what is looked for as the others', so that only whose they are keeps them apart.
_FILL_VECTORS = """
INSERT INTO knowledge_vectors (tenant_id, entry_id, ordinal, embedder, embedding)
SELECT c.tenant_id, c.entry_id, c.ordinal, 'e', ARRAY[1, c.ordinal::real / 1000, 0, 0]::real[]::halfvec FROM knowledge_chunks c
"""
NEAR = Near("e", [1.0, 0.1, 0.0, 0.0])


@pytest.fixture
async def full(owner: Connection) -> None:
    await owner.execute(_FILL, TENANTS)
    await owner.execute(_FILL_CHUNKS, EACH)
    await owner.execute(_FILL_VECTORS)
    await owner.execute("ANALYZE knowledge_entries, knowledge_chunks, knowledge_vectors")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("full")
async def test_row_level_security_alone_keeps_tenants_apart(scene: Scene, mode: Mode) -> None:
    unfiltered = statement(mode, filtered=False)
    near = () if mode == "text" else (NEAR.vector, NEAR.embedder)
    for own in TENANTS:
        async with within_tenant(scene.db, own) as connection:
            for table in ("knowledge_entries", "knowledge_chunks", "knowledge_vectors"):
                assert {row["tenant_id"] for row in await connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")} == {own}
            for asked in (own, "t0", "t19"):
                rows = await connection.fetch(unfiltered, asked, "shared", None, False, None, None, 50, *near)
                # What a text search looks up is asked by tenant; vectors are found without, and are the tenant's own all the same.
                assert len(rows) == (50 if asked == own or mode != "text" else 0)
                assert all(row["content"].endswith(f"belongs to {own}") for row in rows)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.usefixtures("full")
async def test_the_statements_condition_alone_keeps_tenants_apart(owner: Connection, mode: Mode) -> None:
    assert await owner.fetchval("SELECT count(*) FROM knowledge_vectors") == len(TENANTS) * EACH  # the owner is not bound by the policy
    for own in TENANTS:
        rows = await search(owner, own, Sought("shared", 50), NEAR, mode)
        assert len(rows) == 50
        assert all(row["content"].endswith(f"belongs to {own}") for row in rows)


@pytest.mark.usefixtures("full")
async def test_whoever_names_no_tenant_sees_and_writes_nothing(scene: Scene) -> None:
    async with scene.db.connection() as connection:
        for table in ("knowledge_entries", "knowledge_details", "knowledge_chunks", "knowledge_vectors"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    async with within_tenant(scene.db, "t1") as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(_FILL, ["t2"])


@pytest.mark.usefixtures("full")
async def test_a_tenant_that_was_entered_is_left_with_the_transaction(scene: Scene) -> None:
    for _ in range(10):
        async with within_tenant(scene.db, "t1") as connection:
            assert await connection.fetchval("SELECT count(*) FROM knowledge_entries") == 1
        async with scene.db.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM knowledge_entries") == 0


@pytest.mark.parametrize(
    "principal",
    [of("other"), Principal(key_id=1, key_name="k", owner_id=None, scopes=frozenset({"admin"}), tenant="other")],
    ids=["key", "operator within"],
)
async def test_another_tenants_file_looks_like_one_that_does_not_exist(scene: Scene, principal: Principal) -> None:
    file = await scene.upload("A line.")
    await scene.index()
    verbs: list[Any] = [scene.service.require_file, scene.service.reindex, scene.service.delete_file]
    for verb in verbs:
        said = set[str]()
        places = [
            ("acme", str(file.file_id)),
            ("nobody", str(file.file_id)),
            ("other", str(file.file_id)),
            ("-", "no-uuid"),
            ("", "x"),
            ("a/b", "x"),
        ]
        for tenant, file_id in places:
            with pytest.raises(KnowledgeNotFound) as refused:
                await verb(principal, tenant, file_id)
            said.add(refused.value.detail)
        assert len(said) == 1
    assert (await scene.file(file)).status == "active"


async def test_the_operators_own_tenant_and_a_keys_own_are_named_by_a_dash(scene: Scene) -> None:
    assert scene.service.require_tenant(OPERATOR, "-") == ""
    assert scene.service.require_tenant(of("acme"), "-") == "acme"
    assert scene.service.require_tenant(OPERATOR, "acme") == "acme"
