"""The state machine is one: in the code, in the database and in the document."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import asyncpg
import pytest

from pointsman.jobs.errors import JobStateRefused
from pointsman.jobs.states import EDGES, ENDED, RETRYABLE, Status, diagram, require_edge, table
from pointsman.kit.db import Connection

STATUSES: tuple[Status, ...] = get_args(Status)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("before", "after"), [pair for pair in product(STATUSES, STATUSES) if pair[0] != pair[1]])
async def test_code_and_database_allow_the_same_edges(owner: Connection, before: Status, after: Status) -> None:
    await owner.execute("ALTER TABLE execution_jobs DISABLE TRIGGER guard_new_job")
    job = await owner.fetchval("INSERT INTO execution_jobs (prompt, status) VALUES ('p', $1) RETURNING id", before)
    change = "UPDATE execution_jobs SET status = $2 WHERE id = $1"
    if after in EDGES[before]:
        await owner.execute(change, job, after)
        require_edge(before, after)
        return
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(change, job, after)
    with pytest.raises(JobStateRefused):
        require_edge(before, after)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_job_begins_as_queued_and_as_nothing_else(owner: Connection, status: Status) -> None:
    create = "INSERT INTO execution_jobs (prompt, status) VALUES ('p', $1)"
    if status == "queued":
        await owner.execute(create, status)
        return
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute(create, status)


async def test_what_is_no_change_of_the_status_is_nobodys_business(owner: Connection) -> None:
    job = await owner.fetchval("INSERT INTO execution_jobs (prompt) VALUES ('p') RETURNING id")
    await owner.execute("UPDATE execution_jobs SET status = 'queued', prompt = 'q' WHERE id = $1", job)


def test_every_status_has_its_edges_and_the_ends_are_told() -> None:
    assert set(EDGES) == set(STATUSES)
    assert {"failed", "oom", "failed_circuit_open"} == RETRYABLE
    assert {"completed"} | RETRYABLE == ENDED


def test_the_documents_show_this_very_machine() -> None:
    assert table() in (ROOT / "docs" / "concepts" / "jobs.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram()}\n```" in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
