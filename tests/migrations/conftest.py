"""What the tests of migrations share: rows for every table, and a server of their own where roles are at stake."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy import ARRAY, Column, Computed, Connection, Identity, inspect, text
from tests.conftest import OPTIONS, Cluster, cluster_home

from pointsman.kit.embedded_pg import EmbeddedPostgres
from pointsman.tables import METADATA

_VALUES: dict[type, Any] = {
    str: "x",
    int: 1,
    float: 1.5,
    bool: True,
    bytes: b"x",
    dict: {"x": 1},
    object: {"x": 1},
    decimal.Decimal: decimal.Decimal("0.5"),
    uuid.UUID: uuid.UUID(int=1),
    dt.datetime: dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
}
_CHECKED = {
    "schedules.subject_type": "agent",
    "mcp_pins.type": "http",
    "schedules.missed": "skip",
    "schedule_fires.status": "pending",
    "circuit_breakers.kind": "target",
    "circuit_breakers.state": "open",
    "team_info.mode": "coordinate",
    "execution_engines.type": "custom",
    "execution_targets.type": "local",
    "execution_jobs.status": "queued",
    "supervisor_runs.status": "pending",
    "user_tokens.token_type": "jwt",
    "oauth_connections.status": "established",
    "token_connects.status": "opened",
    "knowledge_entries.file_type": "company",
    "knowledge_entries.status": "active",
    "knowledge_entries.knowledge_status": "indexed",
    "knowledge_vectors.embedding": "[1,0.5]",
    "agent_prompts.pinned_label": None,
    "budgets.subject_type": "key",
    "budgets.unit": "tokens",
    "budgets.period": "day",
    "runs.kind": "chat",
    "runs.status": "running",
    "approvals.status": "approved",
    "approvals.risk_level": "low",
    "erasures.status": "completed",
    "job_attempts.status": "completed",
    "job_workspaces.kind": "in",
    "supervisor_details.stage": "jobs",
    "webhook_deliveries.status": "delivered",
    "webhook_deliveries.channel_id": None,
}


def insert_rows(connection: Connection) -> None:
    """One row in every table, with a value in every column; keys that refer to each other agree by being alike."""
    for table in METADATA.sorted_tables:
        connection.execute(table.insert().values({column: _value(column) for column in table.columns if not _is_given(column)}))


def all_rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of ours that exists, without what the database generates of it, which each revision may do in its way."""
    inspector = inspect(connection)
    there = [table for table in METADATA.sorted_tables if inspector.has_table(table.name, schema=table.schema)]
    found: dict[str, list[dict[str, Any]]] = {}
    for table in there:
        generated = {column.name for column in table.columns if isinstance(column.server_default, Computed)}
        rows = connection.execute(text(f"SELECT * FROM {table.fullname}")).mappings()
        found[table.fullname] = [{name: value for name, value in row.items() if name not in generated} for row in rows]
    return found


def of_columns(rows: dict[str, list[dict[str, Any]]], like: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables and columns of `like`: a later revision may add a column to a table that was there."""
    return {table: [{name: rows[table][0][name] for name in row} for row in found] for table, found in like.items()}


@pytest.fixture(scope="module")
def private_cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A server on which nobody has made the service role yet, and where roles may come and go."""
    run = tmp_path_factory.mktemp("private")
    with cluster_home(run) as home:
        server = EmbeddedPostgres(home, extra_options=OPTIONS)
        try:
            yield Cluster(server.start(), run)
        finally:
            server.stop()


def _is_given(column: Column[Any]) -> bool:
    return isinstance(column.server_default, (Identity, Computed))


def _value(column: Column[Any]) -> Any:
    place = f"{column.table.name}.{column.name}"
    if place in _CHECKED:
        return _CHECKED[place]
    return ["x"] if isinstance(column.type, ARRAY) else _VALUES[column.type.python_type]
