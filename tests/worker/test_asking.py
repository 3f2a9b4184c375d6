"""Jobs that ask a person before they act: nothing is held meanwhile, and a decision is acted on exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.worker.conftest import Jobs, StartWorker

from pointsman.approvals.service import ApprovalService
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal

OPERATOR = Principal(key_id=1, key_name="operator", owner_id=None, scopes=frozenset({"admin"}), tenant=None)
ASKED = WorkerConfig.model_validate({"permissions": {"ask": ["*"]}}).model_dump_json()


async def only(db: Database) -> str:
    page = await ApprovalService(db).list_approvals(OPERATOR, status=None, run_id=None, job_id=None, limit=10, cursor=None)
    (approval,) = page.items
    return approval.id


@pytest.mark.usefixtures("worker")
async def test_an_approved_job_goes_on_and_has_asked_once(jobs: Jobs, db: Database, owner: Connection) -> None:
    job = await jobs.create(["echo", "done"], worker_config=ASKED)
    await jobs.until(job, "awaiting_approval")
    assert [attempt["status"] for attempt in await jobs.attempts(job)] == ["paused"]
    assert await owner.fetchval("SELECT count(*) FROM queue.pgqueuer WHERE status = 'queued'") == 0
    await ApprovalService(db).decide(OPERATOR, await only(db), "approve")
    assert (await jobs.until(job))["status"] == "completed"
    assert [attempt["status"] for attempt in await jobs.attempts(job)] == ["paused", "completed"]
    events: list[Any] = [row["type"] for row in await owner.fetch("SELECT one->>1 AS type FROM job_events, json_array_elements(data) one")]
    assert [events.count(name) for name in ("approval.requested", "approval.decided", "job.finished")] == [1, 1, 1]


@pytest.mark.usefixtures("worker")
async def test_a_denied_job_has_no_effect_and_says_why(jobs: Jobs, db: Database) -> None:
    job = await jobs.create(["echo", "done"], worker_config=ASKED)
    await jobs.until(job, "awaiting_approval")
    await ApprovalService(db).decide(OPERATOR, await only(db), "deny", note="Not today.")
    row = await jobs.until(job)
    assert row["status"] == "failed"
    assert row["last_failure_reason"].startswith("denied")
    assert "Not today." in row["last_failure_reason"]


async def test_a_decision_that_comes_before_the_job_has_paused_is_not_lost(start_worker: StartWorker, jobs: Jobs, db: Database) -> None:
    """Somebody decides as soon as there is something to decide, which may be before the attempt has ended."""
    await start_worker()
    made = [await jobs.create(["true"], worker_config=ASKED) for _ in range(12)]
    service, decided = ApprovalService(db), set[str]()
    while len(decided) < len(made):
        page = await service.list_approvals(OPERATOR, status="pending", run_id=None, job_id=None, limit=50, cursor=None)
        for approval in page.items:
            await service.decide(OPERATOR, approval.id, "approve")
            decided.add(approval.id)
    for job in made:
        assert (await jobs.until(job))["status"] == "completed"
