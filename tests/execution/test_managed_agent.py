"""A remote agent is started once, followed to its end by whoever has the job, and cancelled with it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.execution.engine_scene import parts_of
from tests.execution.remote_scene import Remote
from tests.fakes.agent_api import KEY
from tests.fakes.sandbox import FolderSandbox
from tests.fakes.work import FakeWork, target_of

from pointsman.execution.engines import Parts
from pointsman.execution.engines.managed_agent import ManagedAgentEngine
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.handlers import ManagedAgent
from pointsman.execution.ports import Asks, Done, Failed
from pointsman.execution.runners import make_runner
from pointsman.jobs.worker_config import WorkerConfig
from pointsman.kit.db import Connection, Database
from pointsman.settings import Settings


@pytest.fixture
def with_key(settings: Settings) -> Settings:
    return settings.model_copy(update={"secrets": {"agents": SecretStr(KEY)}})


@pytest.fixture
async def parts(with_key: Settings, db: Database, dsn: str) -> AsyncGenerator[Parts]:
    async with parts_of(with_key, db, dsn) as parts:
        yield parts


def work_of(remote: Remote, job_id: str, prompt: str, tmp_path: Path) -> FakeWork:
    target = target_of("managed_agents", {"url": f"{remote.url}/v1", "api_key": {"secret": "agents"}})
    return FakeWork(FolderSandbox(tmp_path), prompt=prompt, target=target, job_id=job_id, provider="remote")


def engine_of(parts: Parts, **config: Any) -> ManagedAgentEngine:
    return ManagedAgentEngine(ManagedAgent.model_validate({"interval": 0.05, **config}), parts)


async def checkpoint_of(owner: Connection, job_id: str) -> dict[str, Any]:
    return json.loads(await owner.fetchval("SELECT checkpoint::text FROM job_details WHERE job_id = $1", uuid.UUID(job_id)))


async def test_it_is_started_followed_and_told(parts: Parts, remote: Remote, job_id: str, owner: Connection, tmp_path: Path) -> None:
    outcome = await engine_of(parts).run(work_of(remote, job_id, "slow=0.3", tmp_path))
    assert isinstance(outcome, Done), outcome
    assert {name: outcome.result[name] for name in ("status", "output", "remote_id")} == {
        "status": "completed",
        "output": "Done remotely.",
        "remote_id": "r0",
    }
    started = (await remote.asked("POST"))[0]
    assert started["headers"]["idempotency-key"] == f"pm-{job_id}-1"
    assert started["body"]["prompt"] == "slow=0.3"
    assert "You work on the files" in started["body"]["system"]
    row = await owner.fetchrow("SELECT model, total_tokens FROM token_usage")
    assert row is not None
    assert (row["model"], row["total_tokens"]) == ("remote:remote-1", 77)


async def test_it_is_followed_by_its_stream_where_it_has_one(parts: Parts, remote: Remote, job_id: str, tmp_path: Path) -> None:
    work = work_of(remote, job_id, "now", tmp_path)
    outcome = await engine_of(parts, stream={"method": "GET", "path": "/runs/{id}/events"}).run(work)
    assert isinstance(outcome, Done)
    assert work.text() == "Thinking. Doing."


async def test_a_remote_failure_is_the_jobs(parts: Parts, remote: Remote, job_id: str, tmp_path: Path) -> None:
    outcome = await engine_of(parts).run(work_of(remote, job_id, "fail", tmp_path))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.result["usage"]["total_tokens"]) == ("model: It could not be done.", 77)


@pytest.mark.parametrize(
    ("prompt", "reason"), [("refuse", "invalid: the remote agent refused to start: status 422"), ("forget", "invalid:")]
)
async def test_what_the_api_refuses_for_good_fails_the_job(
    parts: Parts, remote: Remote, job_id: str, tmp_path: Path, prompt: str, reason: str
) -> None:
    outcome = await engine_of(parts).run(work_of(remote, job_id, prompt, tmp_path))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(reason)


async def test_passing_troubles_are_sat_out_and_lasting_ones_fail_the_attempt(
    parts: Parts, remote: Remote, job_id: str, tmp_path: Path
) -> None:
    assert isinstance(await engine_of(parts).run(work_of(remote, job_id, "flaky=3", tmp_path)), Done)
    with pytest.raises(TargetFailed, match="could not be asked"):
        await engine_of(parts).run(work_of(Remote("http://127.0.0.1:9", remote.client), job_id, "x", tmp_path))


async def test_an_attempt_that_died_is_gone_on_with_by_the_remote_id(
    parts: Parts, remote: Remote, job_id: str, owner: Connection, tmp_path: Path
) -> None:
    running = asyncio.create_task(engine_of(parts).run(work_of(remote, job_id, "slow=0.6", tmp_path)))
    while len(await remote.asked("GET", "/r0")) < 2:
        await asyncio.sleep(0.02)
    running.cancel("handed_over")
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await remote.asked("POST", "/cancel") == []
    await owner.execute("UPDATE job_details SET epoch = 2")
    again = work_of(remote, job_id, "slow=0.6", tmp_path)
    again.epoch, again.checkpoint = 2, await checkpoint_of(owner, job_id)
    assert isinstance(await engine_of(parts).run(again), Done)
    assert len(await remote.asked("POST", "/runs")) == 1


async def test_one_that_died_amid_starting_starts_nothing_twice(
    parts: Parts, remote: Remote, job_id: str, owner: Connection, tmp_path: Path
) -> None:
    first = work_of(remote, job_id, "now", tmp_path)
    assert isinstance(await engine_of(parts).run(first), Done)
    # As it stood between the request and its answer: the key is remembered, the id is not.
    known = await checkpoint_of(owner, job_id)
    known["remote"]["id"] = None
    await owner.execute("UPDATE job_details SET epoch = 2")
    again = work_of(remote, job_id, "now", tmp_path)
    again.epoch, again.checkpoint = 2, known
    outcome = await engine_of(parts).run(again)
    assert isinstance(outcome, Done)
    assert outcome.result["remote_id"] == "r0"
    assert {one["headers"]["idempotency-key"] for one in await remote.asked("POST", "/runs")} == {f"pm-{job_id}-1"}
    assert await owner.fetchval("SELECT count(*) FROM token_usage") == 1  # its usage is counted once, whoever saw it


async def test_an_attempt_that_lost_its_job_starts_nothing(
    parts: Parts, remote: Remote, job_id: str, owner: Connection, tmp_path: Path
) -> None:
    await owner.execute("UPDATE job_details SET epoch = 2")
    with pytest.raises(TargetFailed, match="another attempt's"):
        await engine_of(parts).run(work_of(remote, job_id, "now", tmp_path))
    assert await remote.asked("POST") == []


@pytest.mark.parametrize("end", ["timeout", "cancelled"])
async def test_deadline_and_cancel_reach_the_remote_agent(parts: Parts, remote: Remote, job_id: str, tmp_path: Path, end: str) -> None:
    running = asyncio.create_task(engine_of(parts).run(work_of(remote, job_id, "slow=60", tmp_path)))
    while not await remote.asked("GET", "/r0"):
        await asyncio.sleep(0.02)
    running.cancel(end)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(await remote.asked("POST", "/runs/r0/cancel")) == 1


async def test_a_job_that_asks_starts_nothing_before_somebody_has_decided(
    parts: Parts, remote: Remote, job_id: str, tmp_path: Path
) -> None:
    work = work_of(remote, job_id, "now", tmp_path)
    work.worker = WorkerConfig.model_validate({"permissions": {"ask": ["*"]}})
    assert await engine_of(parts).run(work) == Asks(("apr_agent",))
    assert await remote.asked("POST") == []


async def test_it_needs_a_target_of_its_kind(parts: Parts, remote: Remote, job_id: str, tmp_path: Path) -> None:
    work = work_of(remote, job_id, "now", tmp_path)
    work.target = target_of("local", {})
    with pytest.raises(SandboxRefused, match="managed_agents"):
        await engine_of(parts).run(work)


async def test_health_really_asks(with_key: Settings, settings: Settings, remote: Remote) -> None:
    config = {"url": f"{remote.url}/v1", "api_key": {"secret": "agents"}}
    cases = [
        (config, with_key, "healthy", "status 200"),
        (config, settings, "unhealthy", "POINTSMAN_SECRETS__AGENTS"),
        ({"url": f"{remote.url}/v1"}, with_key, "unhealthy", "refuses the key"),
        ({"url": "http://127.0.0.1:9"}, with_key, "unhealthy", "could not be asked"),
    ]
    for connection, given, status, detail in cases:
        runner = make_runner(target_of("managed_agents", connection), given)
        health = await runner.probe()
        await runner.aclose()
        assert (health.status, detail in health.detail) == (status, True), health
