"""Compares a migrated database with the tables that the code declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pointsman.migrations.running import alter, current, declared
from pointsman.migrations.state import HEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData


async def check(dsn: str) -> list[str]:
    """One sentence for each difference; none if the revisions make what the models say."""
    revision = await current(dsn)
    if revision != HEAD:
        return [f"the database is at revision {revision}, not at {HEAD}"]
    return await alter(dsn, _differences)


def _differences(connection: Connection) -> list[str]:
    tables = declared(connection)
    return [*_compared_by_alembic(connection, tables), *_checks_that_differ(connection, tables)]


def _compared_by_alembic(connection: Connection, tables: MetaData) -> Iterator[str]:
    # Whoever merely starts imports neither library: together they take longer than all the rest of a start.
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    schemas = {table.schema for table in tables.sorted_tables}

    def is_ours(name: str | None, kind: str, parents: Any) -> bool:
        del parents
        return kind != "schema" or name in schemas

    keeps_vectors = connection.exec_driver_sql("SELECT to_regtype('halfvec') IS NOT NULL").scalar_one()

    def can_be_there(_thing: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return keeps_vectors or kind != "table" or name != "knowledge_vectors"

    options = {
        "include_schemas": True,
        "include_name": is_ours,
        "include_object": can_be_there,
        "compare_type": True,
        "compare_server_default": True,
    }
    differences: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), tables)
    for difference in differences:
        changes = cast("list[tuple[Any, ...]]", difference if isinstance(difference, list) else [difference])
        for operation, *subject in changes:
            yield f"{operation}: {', '.join(str(part) for part in subject)}"


def _checks_that_differ(connection: Connection, tables: MetaData) -> Iterator[str]:
    from sqlalchemy import CheckConstraint, inspect  # noqa: PLC0415 - as above

    inspector = inspect(connection)
    for table in tables.sorted_tables:
        if not inspector.has_table(table.name, schema=table.schema):
            continue  # reported already
        declared = {str(constraint.name) for constraint in table.constraints if isinstance(constraint, CheckConstraint)}
        found = {str(item["name"]) for item in inspector.get_check_constraints(table.name, schema=table.schema)}
        for name in sorted(declared ^ found):
            yield f"{'missing' if name in declared else 'superfluous'} check: {name}"
