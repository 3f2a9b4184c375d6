"""The page of the database: every table with its columns, keys and checks."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper
from sqlalchemy.schema import CreateIndex

from pages.markdown import code, docstring, page, table
from pointsman.kit.orm import Base
from pointsman.tables import METADATA

DIALECT = postgresql.dialect()
INTRODUCTION = """
Thirteen tables hold what the gateway is about, and their columns do not change; everything else it has to remember lies in companion
tables beside them. See [the data model](../concepts/data-model.md) for how they hang together. Times are UTC.
Statements of your own should read, not write: the services keep rules that no constraint can state.
"""


def pages() -> dict[str, str]:
    """The page, by its path below docs/."""
    tables = sorted(METADATA.tables.values(), key=lambda item: item.fullname)
    return {"reference/database.md": page("Database", INTRODUCTION, *(block for item in tables for block in blocks_of(item)))}


def blocks_of(item: Table) -> list[str]:
    """A table's heading, sentence, columns and rules."""
    columns = table(("Column", "Type", "Null", "Default"), [row_of(column) for column in item.columns])
    rules = "\n".join(f"- {rule}" for rule in rules_of(item))
    return [f"## `{item.fullname}`", sentence_of(item), columns, rules]


def sentence_of(item: Table) -> str:
    """The docstring of the class that maps the table."""
    mappers: list[Mapper[object]] = [mapper for mapper in Base.registry.mappers if mapper.local_table is item]
    return docstring(mappers[0].class_) if mappers else ""


def row_of(column: Column[object]) -> tuple[str, str, str, str]:
    """A column's row."""
    return (code(column.name), code(column.type.compile(DIALECT).lower()), "yes" if column.nullable else "no", default_of(column))


def default_of(column: Column[object]) -> str:
    """The database's own default."""
    if column.identity is not None:
        return "identity"
    if column.server_default is not None:
        argument = getattr(column.server_default, "arg", "")
        if isinstance(argument, str):
            return code(argument)
        return code(argument.compile(dialect=DIALECT) if hasattr(argument, "compile") else argument)
    return "sequence" if column is column.table.autoincrement_column else ""


def rules_of(item: Table) -> Iterator[str]:
    """Keys, checks and indexes in a stable order."""
    yield f"primary key {names(list(item.primary_key.columns))}"
    for constraint in sorted(item.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, ForeignKeyConstraint):
            target = constraint.elements[0].target_fullname
            deleting = f", on delete {constraint.ondelete.lower()}" if constraint.ondelete else ""
            yield f"{names(list(constraint.columns))} references {code(target)}{deleting}"
        elif isinstance(constraint, UniqueConstraint):
            yield f"unique {names(list(constraint.columns))}"
        elif isinstance(constraint, CheckConstraint):
            yield f"check {code(constraint.sqltext)}"
    for index in sorted(item.indexes, key=lambda each: str(each.name)):
        yield index_of(index)


def index_of(index: Index) -> str:
    """What an index is over, as PostgreSQL would be told."""
    statement = " ".join(str(CreateIndex(index).compile(dialect=DIALECT)).split())
    over = statement.partition(" ON ")[2].partition(" ")[2]
    return f"{'unique ' if index.unique else ''}index {code(index.name or '')} {code(over)}"


def names(columns: list[Column[object]]) -> str:
    """Column names as inline code."""
    return ", ".join(code(column.name) for column in columns)
