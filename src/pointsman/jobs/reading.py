"""Rows of jobs as answers."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from pointsman.jobs.schemas import AttemptRead, JobRead
from pointsman.kit.db import Record

_JSON = ("worker_config", "execution_target", "result", "job_spec")


def read_jobs(rows: Sequence[Record], attempts: Sequence[Record]) -> list[JobRead]:
    """The jobs with their attempts, of which there may be others among them."""
    by_job: dict[uuid.UUID, list[Record]] = defaultdict(list)
    for attempt in attempts:
        by_job[attempt["job_id"]].append(attempt)
    return [_read(row, by_job[row["id"]]) for row in rows]


def read_attempts(rows: Sequence[Record]) -> list[AttemptRead]:
    """In the order of the rows."""
    return [AttemptRead.model_validate({**dict(_items(row)), "evidence": _parsed(row["evidence"])}) for row in rows]


def _read(row: Record, attempts: Sequence[Record]) -> JobRead:
    values = dict(_items(row))
    values |= {name: _parsed(row[name]) for name in _JSON}
    return JobRead.model_validate({**values, "tenant_id": row["tenant_id"] or None, "attempts": read_attempts(attempts)})


def _items(row: Record) -> list[tuple[str, Any]]:
    return [(name, row[name]) for name in row.keys()]  # noqa: SIM118 - a record is its values


def _parsed(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
