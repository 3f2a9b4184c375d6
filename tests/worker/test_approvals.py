"""Jobs that ask: they hold nothing while they wait, act once when they were approved, and never when they were not."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from tests.worker.conftest import Jobs

from pointsman.approvals.errors import ApprovalDecided
from pointsman.approvals.schemas import Choice
from pointsman.approvals.service import ApprovalService, settle_over
from pointsman.jobs.rows import NewJob
from pointsman.jobs.service import JobService
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal

BOSS = Principal(key_id=7, key_name="boss", owner_id=None, scopes=frozenset({"approvals:decide"}), tenant=None)
ASKS = json.dumps({"permissions": {"ask": ["*"]}})


class Desk:
    """Where jobs of a test are decided."""

    def __init__(self, db: Database, jobs: Jobs) -> None:
        self.service = ApprovalService(db)
        self.db = db
        self.jobs = jobs

    async def asked(self, *commands: list[str], worker_config: str = ASKS) -> tuple[NewJob, str]:
        """A job that waits, and its approval."""
        job = await self.jobs.create(*commands, worker_config=worker_config)
        await self.jobs.until(job, "awaiting_approval")
        return job, await self.approval_of(job.id)

    async def approval_of(self, job_id: uuid.UUID) -> str:
        page = await self.service.list_approvals(BOSS, status=None, run_id=None, job_id=job_id, limit=10, cursor=None)
        (approval,) = page.items
        return approval.id

    async def decide(self, approval_id: str, choice: Choice, **more: Any) -> None:
        await self.service.decide(BOSS, approval_id, choice, **more)


@pytest.fixture
def desk(db: Database, jobs: Jobs) -> Desk:
    return Desk(db, jobs)


@pytest.mark.usefixtures("worker")
async def test_an_approved_job_does_its_commands_once(desk: Desk, owner: Connection) -> None:
    job, approval = await desk.asked(["echo", "one"], ["echo", "two"])
    assert [attempt["status"] for attempt in await desk.jobs.attempts(job)] == ["paused"]
    await desk.decide(approval, "approve")
    row = await desk.jobs.until(job)
    assert row["status"] == "completed"
    assert [done["stdout"] for done in json.loads(row["result"])["commands"]] == ["one\n", "two\n"]
    stored = await owner.fetch("SELECT data::text AS data FROM job_events WHERE job_id = $1 ORDER BY seq", job.id)
    told = [event[1] for part in stored for event in json.loads(part["data"]) if event[1].startswith("approval")]
    assert told == ["approval.requested", "approval.decided"]


@pytest.mark.usefixtures("worker")
async def test_a_denied_job_fails_and_does_nothing(desk: Desk) -> None:
    job, approval = await desk.asked(["echo", "never"])
    await desk.decide(approval, "deny", note="Not today.")
    row = await desk.jobs.until(job)
    assert row["status"] == "failed"
    assert row["last_failure_reason"].startswith("denied")
    assert "Not today." in row["last_failure_reason"]
    assert json.loads(row["result"])["commands"] == []


@pytest.mark.usefixtures("worker")
async def test_a_denied_job_that_is_tried_again_asks_again(desk: Desk, owner: Connection) -> None:
    job, first = await desk.asked(["echo", "now"])
    await desk.decide(first, "deny")
    await desk.jobs.until(job)
    await JobService(desk.db).retry(BOSS, str(job.id))
    await desk.jobs.until(job, "awaiting_approval")
    second = await owner.fetchval("SELECT id FROM approvals WHERE job_id = $1 AND status = 'pending'", job.id)
    assert second != first
    await desk.decide(second, "approve")
    assert (await desk.jobs.until(job))["status"] == "completed"


@pytest.mark.usefixtures("worker")
async def test_edited_commands_run_in_place_of_those_that_asked(desk: Desk) -> None:
    job, approval = await desk.asked(["echo", "as asked"])
    await desk.decide(approval, "approve", args={"commands": [["echo", "as edited"]]})
    row = await desk.jobs.until(job)
    assert [done["stdout"] for done in json.loads(row["result"])["commands"]] == ["as edited\n"]


@pytest.mark.usefixtures("worker")
async def test_what_nobody_decides_in_time_fails_the_job(desk: Desk, owner: Connection) -> None:
    job, approval = await desk.asked(["echo", "never"])
    await owner.execute("UPDATE approvals SET expires_at = clock_timestamp() WHERE id = $1", approval)
    with pytest.raises(ApprovalDecided):
        await desk.decide(approval, "approve")
    await settle_over(desk.db)
    row = await desk.jobs.until(job)
    assert row["status"] == "failed"
    assert "in time" in row["last_failure_reason"]


@pytest.mark.usefixtures("worker")
async def test_of_decisions_at_once_one_counts_and_the_job_acts_once(desk: Desk) -> None:
    for _ in range(5):
        job, approval = await desk.asked(["echo", "once"])
        choices: tuple[Choice, ...] = ("approve", "deny", "approve")
        outcomes = await asyncio.gather(*(desk.decide(approval, choice) for choice in choices), return_exceptions=True)
        assert len([outcome for outcome in outcomes if isinstance(outcome, ApprovalDecided)]) == 2, outcomes
        row = await desk.jobs.until(job)
        approved = (await desk.service.require_approval(BOSS, approval)).status == "approved"
        assert (row["status"] == "completed") == approved
