"""The thirteen tables are exactly as the document of the schema says; what differs is wrong here, not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pointsman.kit.db import Connection

SEED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "seed.json").read_text(encoding="utf-8"))

TYPES = {
    "TEXT": "text",
    "INTEGER": "integer",
    "DATETIME": "timestamp with time zone",
    "BOOLEAN": "boolean",
    "UUID": "uuid",
    "JSONB": "jsonb",
    "VARCHAR": "character varying",
    "ARRAY(VARCHAR)": "character varying[]",
}
REFERENCES = {
    ("team_agent", "team_id"): "team_info(id)",
    ("team_agent", "agent_id"): "agent_info(id)",
    ("execution_jobs", "supervisor_run_id"): "supervisor_runs(id)",
}
DEFAULTS = {
    ("agent_info", "version"): "'2.0'::character varying",
    ("team_info", "version"): "'2.0'::character varying",
    ("api_keys", "rate_limit"): "0",
    ("execution_engines", "provider"): "'anthropic'::character varying",
    ("execution_targets", "worker_pool"): "'linux_worker_pool'::character varying",
}

COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_attribute a WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
CONSTRAINTS = """
SELECT table_schema AS schema, table_name AS name, constraint_name, constraint_type AS type,
       array(SELECT column_name::text FROM information_schema.key_column_usage k
              WHERE (k.constraint_schema, k.constraint_name, k.table_name) = (c.constraint_schema, c.constraint_name, c.table_name)
              ORDER BY ordinal_position) AS columns
  FROM information_schema.table_constraints c WHERE table_schema = $1 AND table_name = $2 AND constraint_type <> 'CHECK'
"""

tables = pytest.mark.parametrize("table", SEED)


def spelled(kind: str) -> str:
    name, _, length = kind.partition("(")
    return TYPES[kind] if kind in TYPES else f"{TYPES[name]}({length}"


def qualified(table: str) -> str:
    return f"{SEED[table]['schema']}.{table}"


async def constraints(owner: Connection, table: str, kind: str) -> list[list[str]]:
    rows = await owner.fetch(CONSTRAINTS, SEED[table]["schema"], table)
    return sorted(row["columns"] for row in rows if row["type"] == kind)


def test_the_document_has_thirteen_tables() -> None:
    assert len(SEED) == 13


@tables
async def test_each_table_stands_once_in_the_schema_the_document_names(owner: Connection, table: str) -> None:
    rows = await owner.fetch("SELECT table_schema AS schema FROM information_schema.tables WHERE table_name = $1", table)
    assert [row["schema"] for row in rows] == [SEED[table]["schema"]]


@tables
async def test_columns_types_and_their_order_are_the_documents(owner: Connection, table: str) -> None:
    found = {row["name"]: row["type"] for row in await owner.fetch(COLUMNS, qualified(table))}
    stated = {name: spelled(column["type"]) for name, column in SEED[table]["columns"].items()}
    assert list(found.items()) == list(stated.items())


@tables
async def test_information_schema_names_no_column_more_and_none_fewer(owner: Connection, table: str) -> None:
    query = "SELECT column_name::text AS name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
    found = [row["name"] for row in await owner.fetch(query, SEED[table]["schema"], table)]
    assert sorted(found) == sorted(SEED[table]["columns"])


@tables
async def test_primary_keys_are_the_documents(owner: Connection, table: str) -> None:
    stated = [name for name, column in SEED[table]["columns"].items() if column["key"] == "PK"]
    assert await constraints(owner, table, "PRIMARY KEY") == [stated]


@tables
async def test_unique_constraints_are_the_documents(owner: Connection, table: str) -> None:
    assert await constraints(owner, table, "UNIQUE") == sorted(SEED[table]["unique"])


def test_the_document_states_two_unique_constraints() -> None:
    assert [table for table, shape in SEED.items() for _ in shape["unique"]] == ["knowledge_entries", "user_tokens"]


@tables
async def test_foreign_keys_are_the_documents(owner: Connection, table: str) -> None:
    stated = [name for name, column in SEED[table]["columns"].items() if column["key"] == "FK"]
    query = "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE contype = 'f' AND conrelid = $1::text::regclass"
    found = [row["text"] for row in await owner.fetch(query, qualified(table))]
    assert sorted(found) == sorted(f"FOREIGN KEY ({name}) REFERENCES {REFERENCES[table, name]}" for name in stated)


async def test_stated_defaults_are_the_columns_defaults(owner: Connection) -> None:
    query = "SELECT column_default FROM information_schema.columns WHERE table_schema = 'public' AND (table_name, column_name) = ($1, $2)"
    found = {place: await owner.fetchval(query, *place) for place in DEFAULTS}
    assert found == DEFAULTS


@pytest.mark.parametrize("table", [table for table, shape in SEED.items() if shape["columns"]["id"]["type"] == "INTEGER"])
async def test_auto_increment_ids_come_from_a_sequence(owner: Connection, table: str) -> None:
    query = "SELECT column_default FROM information_schema.columns WHERE table_name = $1 AND column_name = 'id'"
    assert str(await owner.fetchval(query, table)).startswith("nextval(")


async def test_usage_ids_use_the_negative_half_too(owner: Connection) -> None:
    assert await owner.fetchval("SELECT nextval('token_usage_id_seq')") == -(2**31)


async def test_a_team_has_an_agent_once_among_its_live_members(owner: Connection) -> None:
    import asyncpg

    await owner.execute("INSERT INTO agent_info (id, name) VALUES ('a', 'A')")
    await owner.execute("INSERT INTO team_info (id, name, mode) VALUES ('t', 'T', 'coordinate')")
    member = "INSERT INTO team_agent (team_id, agent_id, is_active) VALUES ('t', 'a', $1)"
    await owner.execute(member, False)
    await owner.execute(member, True)
    with pytest.raises(asyncpg.UniqueViolationError):
        await owner.execute(member, True)
