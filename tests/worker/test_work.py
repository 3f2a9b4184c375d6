"""A worker does jobs, from a message to an outcome."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from tests.worker.conftest import Jobs, StartWorker

from pointsman.bootstrap.worker import Worker
from pointsman.execution.lending import Runners
from pointsman.execution.ports import SandboxSpec
from pointsman.execution.reaping import Reaper
from pointsman.execution.runners import make_runner
from pointsman.execution.selecting import Catalogue
from pointsman.execution.workers.service import WorkerService
from pointsman.jobs.queries import request_cancel
from pointsman.kit.db import Connection, Database
from pointsman.kit.principal import Principal
from pointsman.settings import Settings

OPERATOR = Principal(key_id=1, key_name="operator", owner_id=None, scopes=frozenset({"admin"}), tenant=None)
EVENTS = "SELECT data::text AS data FROM job_events WHERE job_id = $1 ORDER BY seq"


async def test_a_job_without_commands_is_done(worker: Worker, jobs: Jobs) -> None:
    job = await jobs.create()
    row = await jobs.until(job)
    assert row["status"] == "completed"
    assert json.loads(row["result"])["exit_code"] == 0
    (attempt,) = await jobs.attempts(job)
    assert (attempt["status"], attempt["worker"], attempt["target_id"]) == ("completed", worker.id, "local")


@pytest.mark.usefixtures("worker")
async def test_commands_run_and_what_they_print_becomes_events(jobs: Jobs, owner: Connection) -> None:
    job = await jobs.create(["echo", "hello"], ["sh", "-c", 'echo "$JOB_ID $JOB_ATTEMPT" >&2'])
    row = await jobs.until(job)
    assert row["status"] == "completed"
    first, second = json.loads(row["result"])["commands"]
    assert (first["stdout"], second["stderr"]) == ("hello\n", f"{job.id} 1\n")
    told = [event for stored in await owner.fetch(EVENTS, job.id) for event in json.loads(stored["data"])]
    assert [event[0] for event in told] == list(range(1, len(told) + 1))
    assert [event[1] for event in told if event[1] != "job.output"] == ["job.queued", "job.started", "job.finished"]
    assert "hello\n" in "".join(event[2]["text"] for event in told if event[1] == "job.output")
    assert told[-1][1] == "job.finished"


@pytest.mark.usefixtures("worker")
async def test_a_command_that_fails_is_not_tried_again(jobs: Jobs) -> None:
    row = await jobs.until(job := await jobs.create(["sh", "-c", "exit 7"]))
    assert (row["status"], row["retry_count"]) == ("failed", 0)
    assert row["last_failure_reason"].startswith("exit 7")
    assert [attempt["exit_code"] for attempt in await jobs.attempts(job)] == [7]


@pytest.mark.usefixtures("worker")
async def test_a_job_that_takes_too_long_ends_with_everything_that_it_runs(jobs: Jobs) -> None:
    row = await jobs.until(await jobs.create(["sleep", "86123"], timeout_seconds=0.5))
    assert row["status"] == "failed"
    assert row["last_failure_reason"].startswith("timeout")
    assert not running("86123")


@pytest.mark.usefixtures("worker")
async def test_a_running_job_is_cancelled_within_two_seconds(jobs: Jobs, db: Database) -> None:
    job = await jobs.create(["sleep", "86124"])
    await jobs.until(job, "running")
    async with db.connection() as connection:
        assert await request_cancel(connection, job.id)
    row = await jobs.until(job, within=2)
    assert row["last_failure_reason"].startswith("cancelled")
    assert not running("86124")


@pytest.mark.usefixtures("worker")
async def test_an_engine_that_is_not_there_fails_the_job_at_once(jobs: Jobs) -> None:
    row = await jobs.until(job := await jobs.create(engine_id="nobody"))
    assert row["last_failure_reason"] == "engine-not-found: There is no active engine 'nobody'."
    assert await jobs.attempts(job) == []


@pytest.mark.usefixtures("worker")
async def test_a_target_that_fails_is_tried_again_until_no_attempt_is_left(jobs: Jobs, owner: Connection) -> None:
    await owner.execute(
        "INSERT INTO execution_targets (id, name, type, connection_config) VALUES ('gone', 'gone', 'local', $1)",
        json.dumps({"mounts": [{"source": "/nowhere/at/all", "path": "/data"}]}),
    )
    row = await jobs.until(job := await jobs.create(["true"], target_id="gone", max_attempts=2))
    assert row["last_failure_reason"].startswith("target-failed")
    assert (row["status"], row["retry_count"]) == ("failed", 1)
    assert [attempt["status"] for attempt in await jobs.attempts(job)] == ["failed", "failed"]


async def test_a_worker_that_stops_hands_over_what_it_cannot_finish(start_worker: StartWorker, jobs: Jobs) -> None:
    first = await start_worker()
    job = await jobs.create(["sh", "-c", '[ "$JOB_ATTEMPT" = 2 ] || exec sleep 86125'])
    await jobs.until(job, "running")
    await first.close(patience=timedelta(seconds=0.1))
    assert (await jobs.read(job))["status"] == "queued"
    assert not running("86125")
    second = await start_worker()
    assert (await jobs.until(job))["status"] == "completed"
    assert [(one["status"], one["worker"]) for one in await jobs.attempts(job)] == [("lost", first.id), ("completed", second.id)]


async def test_who_is_presumed_dead_ends_its_work_and_writes_nothing(start_worker: StartWorker, jobs: Jobs, owner: Connection) -> None:
    await start_worker()
    job = await jobs.create(["sh", "-c", '[ "$JOB_ATTEMPT" = 2 ] || exec sleep 86126'])
    await jobs.until(job, "running")
    await owner.execute("UPDATE queue.pgqueuer SET queue_manager_id = gen_random_uuid(), heartbeat = now() - interval '1 minute'")
    other = await start_worker()
    row = await jobs.until(job)
    assert row["status"] == "completed"
    assert [one["status"] for one in await jobs.attempts(job)] == ["lost", "completed"]
    async with asyncio.timeout(2):  # what was killed leaves /proc a moment after its cgroup
        while running("86126"):
            await asyncio.sleep(0.02)
    assert await owner.fetchval("SELECT count(*) FROM circuit_breakers") == 0
    assert await owner.fetchval("SELECT count(*) FROM job_events e, json_array_elements(e.data) one WHERE one->>1 = 'job.finished'") == 1
    assert other.in_hand <= 1


async def test_a_narrow_target_does_one_job_at_a_time_and_all_of_them(start_worker: StartWorker, jobs: Jobs, owner: Connection) -> None:
    await owner.execute("""UPDATE execution_targets SET capacity = capacity || '{"max_concurrent_jobs": 1}'""")
    await start_worker()
    made = [await jobs.create(["sleep", "0.05"]) for _ in range(6)]
    for job in made:
        assert (await jobs.until(job))["status"] == "completed"
    overlapping = await owner.fetchval(
        "SELECT count(*) FROM job_attempts a JOIN job_attempts b ON a.job_id < b.job_id"
        " AND a.started_at < b.ended_at AND b.started_at < a.ended_at"
    )
    assert overlapping == 0


@pytest.mark.usefixtures("worker")
async def test_what_a_dead_attempt_left_is_removed(jobs: Jobs, db: Database, settings: Settings) -> None:
    row = await jobs.until(await jobs.create(["true"]))
    assert row["status"] == "completed"
    catalogue = Catalogue(db, lambda _subject: False)
    runners = Runners(lambda target: make_runner(target, settings))
    local = await catalogue.find_target("local")
    assert local is not None
    async with runners.lent(local) as runner:
        sandbox = await runner.open(SandboxSpec(f"pm-{uuid.uuid4()}-1", memory_mb=64, cpus=1))
        left = asyncio.create_task(sandbox.exec(["sleep", "86127"], on_output=lambda _stream, _data: None))
        async with asyncio.timeout(10):
            while not running("86127"):
                await asyncio.sleep(0.02)
        assert await Reaper(db, catalogue, runners, "linux_worker_pool").run_once() == 1
        assert await runner.list_handles() == []
        assert not running("86127")
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
    await runners.aclose()


async def test_workers_say_what_they_are(worker: Worker, db: Database) -> None:
    async with asyncio.timeout(10):
        while not (page := await WorkerService(db).list_workers(OPERATOR, worker_pool=None, limit=10, cursor=None)).items:
            await asyncio.sleep(0.02)
    (told,) = page.items
    assert (told.id, told.status, told.slots, told.jobs) == (worker.id, "working", 8, [])


def running(argument: str) -> bool:
    """Whether there is a process with this argument."""
    lines: list[bytes] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                lines.append((entry / "cmdline").read_bytes())
    return any(argument.encode() in line.split(b"\0") for line in lines)
