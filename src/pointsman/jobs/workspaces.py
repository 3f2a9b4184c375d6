"""The files of jobs, as tars: what one begins with, goes on with after a person decided, and left."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from pointsman.jobs.rows import Finish, WorkspaceKind
from pointsman.kit.db import Connection

MOST_BYTES = 64 * 2**20

_KEEP = """
INSERT INTO job_workspaces (job_id, kind, data) VALUES ($1, $2, $3)
ON CONFLICT (job_id, kind) DO UPDATE SET data = excluded.data, created_at = clock_timestamp()
"""


async def keep(connection: Connection, finishes: Sequence[Finish]) -> None:
    """Store the workspaces that ended attempts left, each at most `MOST_BYTES`."""
    for finish in finishes:
        for kind, data in (("checkpoint", finish.workspace), ("out", finish.left)):
            if data is not None:
                await connection.execute(_KEEP, finish.attempt.job_id, kind, data)


async def find_workspace(connection: Connection, job_id: uuid.UUID, kind: WorkspaceKind) -> bytes | None:
    """The tar."""
    return await connection.fetchval("SELECT data FROM job_workspaces WHERE job_id = $1 AND kind = $2", job_id, kind)


async def find_start(connection: Connection, job_id: uuid.UUID) -> bytes | None:
    """What the next attempt's sandbox begins with: the checkpoint, else what the job was given."""
    return await connection.fetchval(
        "SELECT data FROM job_workspaces WHERE job_id = $1 AND kind IN ('checkpoint', 'in') ORDER BY kind = 'checkpoint' DESC LIMIT 1",
        job_id,
    )
