"""What services may do in the database: their daily work, and nothing to the history or the schema."""

from __future__ import annotations

import asyncpg
import pytest

from pointsman.kit.db import SERVICE_ROLE, Connection, Database
from pointsman.migrations.rights import NARROWED
from pointsman.tables import METADATA

ENTRY = "INSERT INTO audit_log (actor, action, object_type, object_id) VALUES ('me', 'agents.create', 'agent', 'a') RETURNING id"


@pytest.mark.parametrize("table", sorted(set(METADATA.tables) - set(NARROWED)))
async def test_services_work_with_every_table(owner: Connection, table: str) -> None:
    query = "SELECT bool_and(has_table_privilege($1, $2, right_)) FROM unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) right_"
    assert await owner.fetchval(query, SERVICE_ROLE, table)


@pytest.mark.parametrize("table", [*METADATA.tables, "alembic_version"])
async def test_services_never_truncate_nor_hang_triggers_on_a_table(owner: Connection, table: str) -> None:
    query = "SELECT has_table_privilege($1, $2, 'TRUNCATE, TRIGGER, REFERENCES')"
    assert not await owner.fetchval(query, SERVICE_ROLE, table)


async def test_services_draw_ids_from_every_sequence(owner: Connection) -> None:
    query = "SELECT count(*), count(*) FILTER (WHERE has_sequence_privilege($1, c.oid, 'USAGE')) FROM pg_class c WHERE relkind = 'S'"
    row = await owner.fetchrow(query, SERVICE_ROLE)
    # identity columns need no right of their own, yet have one
    assert row is not None
    assert row[0] == row[1] > 0


async def test_an_entry_of_the_log_is_written_and_sealed_and_never_altered(db: Database) -> None:
    async with db.connection() as connection:
        entry = await connection.fetchval(ENTRY)
        await connection.execute("UPDATE audit_log SET seal_seq = 1, prev_hash = 'p', hash = 'h' WHERE id = $1", entry)
        for column in ("actor", "action", "object_id", "detail", "at", "tenant_id", "request_id", "actor_key_id", "object_type"):
            await _refused(connection, f"UPDATE audit_log SET {column} = DEFAULT")
        await _refused(connection, "DELETE FROM audit_log")
        await _refused(connection, "TRUNCATE audit_log")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE TABLE prompts.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE agent_info ADD COLUMN mine int",
        "DROP TABLE memories",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "CREATE ROLE mine",
        "UPDATE alembic_version SET version_num = 'x'",
        "DELETE FROM alembic_version",
        "DELETE FROM audit_head",
        "UPDATE prompts.prompt_versions SET template = 'rewritten'",
        "DELETE FROM prompts.prompt_versions",
    ],
)
async def test_services_change_neither_the_schema_nor_history(db: Database, statement: str) -> None:
    async with db.connection() as connection:
        await _refused(connection, statement)


async def test_services_may_ask_for_the_revision(db: Database) -> None:
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT version_num FROM alembic_version")


async def _refused(connection: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
