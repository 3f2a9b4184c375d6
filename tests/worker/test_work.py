"""A worker does jobs, from a message to an outcome."""

from __future__ import annotations

import json

from tests.worker.conftest import Jobs

from pointsman.bootstrap.worker import Worker


async def test_a_job_without_commands_is_done(worker: Worker, jobs: Jobs) -> None:
    job = await jobs.create()
    row = await jobs.until(job)
    assert row["status"] == "completed"
    assert json.loads(row["result"])["exit_code"] == 0
    (attempt,) = await jobs.attempts(job)
    assert (attempt["status"], attempt["worker"], attempt["target_id"]) == ("completed", worker.id, "local")
