"""Up, down and up again on a database with rows, and that the revisions make exactly what the models say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from tests.migrations.conftest import all_rows, insert_rows, of_columns

import pointsman.migrations
from pointsman.migrations import HEAD, check, current, downgrade, migrate
from pointsman.migrations.running import alter
from pointsman.tables import METADATA

SCRIPTS = ScriptDirectory(str(Path(pointsman.migrations.__file__).parent))
EARLIER = [script.revision for script in SCRIPTS.walk_revisions() if script.revision != HEAD]

# Everything a schema consists of except the order of its columns, as PostgreSQL itself words it.
CATALOGUE = """
SELECT 'column', c.oid::regclass::text, a.attname::text,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND c.relnamespace::regnamespace::text IN ('public', 'prompts')
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace::regnamespace::text IN ('public', 'prompts')
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes WHERE schemaname IN ('public', 'prompts')
UNION ALL
SELECT 'sequence', schemaname::text, sequencename::text, concat_ws(' ', data_type, start_value, min_value, max_value, increment_by, cycle)
  FROM pg_sequences WHERE schemaname IN ('public', 'prompts')
ORDER BY 1, 2, 3
"""

RIGHTS = """
SELECT count(*) FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
 WHERE d.datname = current_database() AND s.refobjid = 'pointsman_service'::regrole
"""


def test_the_constant_is_alembics_head() -> None:
    assert SCRIPTS.get_heads() == [HEAD]


async def test_the_check_finds_no_difference(dsn: str) -> None:
    assert await check(dsn) == []


async def test_the_revisions_make_what_the_models_say_to_the_letter(dsn: str, empty_dsn: str) -> None:
    def made_by_models(connection: Connection) -> list[tuple[Any, ...]]:
        connection.execute(text("CREATE SCHEMA prompts"))
        connection.execute(text("CREATE EXTENSION vector"))
        METADATA.create_all(connection)
        return _catalogue(connection)

    assert await alter(dsn, _catalogue) == await alter(empty_dsn, made_by_models)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("ALTER TABLE agent_info ADD COLUMN surplus text", "surplus"),
        ("ALTER TABLE runs DROP CONSTRAINT ck_runs_kind", "missing check: ck_runs_kind"),
        ("ALTER TABLE runs ADD CONSTRAINT more CHECK (true)", "superfluous check: more"),
        ("ALTER TABLE prompts.prompts ALTER COLUMN name TYPE text", "name"),
        ("ALTER TABLE api_keys ALTER COLUMN rate_limit SET DEFAULT 5", "rate_limit"),
        ("DROP INDEX uq_team_agent_live", "uq_team_agent_live"),
        ("DROP TABLE prompts.prompt_labels", "prompt_labels"),
        ("UPDATE alembic_version SET version_num = '0001'", "0001"),
    ],
)
async def test_the_check_names_what_differs(dsn: str, change: str, word: str) -> None:
    await alter(dsn, lambda connection: connection.execute(text(change)) and None)
    assert any(word in sentence for sentence in await check(dsn))


@pytest.mark.parametrize("revision", EARLIER)
async def test_rows_survive_down_and_up_where_their_table_does(dsn: str, revision: str) -> None:
    await alter(dsn, insert_rows)
    before = await alter(dsn, all_rows)
    assert all(len(rows) == 1 for rows in before.values())
    assert len(before) == len(METADATA.tables)

    assert (await downgrade(dsn, revision)).after == revision
    kept = await alter(dsn, all_rows)
    assert kept == of_columns(before, kept)

    assert await migrate(dsn) == (revision, HEAD)
    after = await alter(dsn, all_rows)
    assert of_columns(after, kept) == kept
    assert not any(rows for table, rows in after.items() if table not in kept)
    assert await check(dsn) == []


async def test_down_to_base_leaves_nothing_and_up_works_again(dsn: str) -> None:
    await alter(dsn, insert_rows)
    assert await downgrade(dsn, "base") == (HEAD, None)
    assert await current(dsn) is None
    left = {row[1] for row in await alter(dsn, _catalogue)}
    assert left == {"alembic_version"}
    assert await alter(dsn, _rights_left) == 0

    assert await migrate(dsn) == (None, HEAD)
    assert await check(dsn) == []
    await alter(dsn, insert_rows)


async def test_an_empty_database_has_no_revision(empty_dsn: str) -> None:
    assert await current(empty_dsn) is None
    assert await check(empty_dsn) == [f"the database is at revision None, not at {HEAD}"]


def _catalogue(connection: Connection) -> list[tuple[Any, ...]]:
    rows = [tuple(row) for row in connection.execute(text(CATALOGUE))]
    return rows if len(rows) < 5 else [row for row in rows if "alembic_version" not in row[1]]


def _rights_left(connection: Connection) -> int:
    return connection.execute(text(RIGHTS)).scalar_one()
