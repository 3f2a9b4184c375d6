"""Failpoints in a real gateway: each is passed by ordinary work, each is documented, and a gateway that has some armed says so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.calling import Caller, unique
from tests.e2e.conftest import Start
from tests.e2e.gateways import FAKE_KEYS, KEYRING, admin_key, serving_from_a_thread
from tests.fakes.upstream import Upstream
from tests.jobs.job_scene import Scene

import pointsman.bootstrap.worker as worker_process
from pointsman.jobs.outputs import Outputs
from pointsman.jobs.rows import Finish
from pointsman.jobs.service import wake
from pointsman.jobs.writing import JobWriter
from pointsman.kit import failpoints
from pointsman.kit.db import Database, connect

DOCUMENT = Path(__file__).parents[2] / "docs" / "concepts" / "reliability.md"
NOBODY_FAILS = "runs.open.before:sleep:0"


def ours() -> dict[str, str]:
    assert worker_process  # with it and the gateway every module is loaded that declares one
    return {name: sentence for name, sentence in failpoints.declared().items() if not name.startswith("tests.")}


async def test_every_failpoint_is_passed_by_ordinary_work(dsn: str, tmp_path: Path, upstream: Upstream) -> None:
    key = await admin_key(dsn, tmp_path)
    settings = {
        "data_dir": tmp_path / "data",
        "failpoints": [NOBODY_FAILS],
        "keyring": {"keys": [KEYRING]},
        "openai_api_key": FAKE_KEYS["OPENAI_API_KEY"],
        "openai_base_url": upstream.openai_url,
        "runs": {"heartbeat": timedelta(seconds=0.2), "dead_after": timedelta(seconds=1)},
    }
    with ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, serving_from_a_thread(dsn, settings))
        caller = Caller(url, key)
        try:
            await do_ordinary_work(caller, dsn)
            await do_jobs(caller, dsn)
            await do_teams_and_approvals(caller)
            await do_schedules(caller, dsn)
            await do_webhooks(caller)
            passed = dict(failpoints.reached())
        finally:
            await caller.aclose()
            await asyncio.to_thread(stack.close)
            failpoints.arm([])
    # Those of supervised runs and of knowledge are passed, and failed at, in tests/supervision and tests/knowledge.
    assert {name for name in ours() if name not in passed and not name.startswith(("supervision.", "knowledge."))} == set()


async def do_ordinary_work(caller: Caller, dsn: str) -> None:
    agent = await caller.agent(tools=[{"type": "builtin", "name": "current_time"}])
    await caller.post("/v2/budgets", {"subject_type": "agent", "subject_id": agent, "unit": "tokens", "period": "day", "amount": 10**9})
    made = await caller.post("/v2/keys", {"name": "limited", "scopes": ["agents:run"], "rate_limit": 10})
    await caller.chat(
        agent, "[[tool=current_time]]", headers={"idempotency-key": unique("key"), "authorization": f"Bearer {made['api_key']}"}
    )
    talker = await caller.agent(model="scripted:echo")  # each of its words is an event, however they arrive
    async with caller.stream(talker, "word " * 1500) as reader:  # longer than one block of event ids
        await reader.rest()
    async with caller.stream(agent, "[[n=500 itl=20]]") as reader:
        await reader.until("message.delta")
        await caller.post(f"/v2/runs/{reader.run_id}/cancel", {})
        await reader.rest()
    async with caller.stream(agent, "[[n=100 itl=20]]") as reader:
        await reader.until("message.delta")
        connection = await connect(dsn, role=None)
        await connection.execute("UPDATE runs SET replica = 'rep_dead' WHERE id = $1", reader.run_id)
        await connection.close()
        await reader.until("message.reset")


async def do_teams_and_approvals(caller: Caller) -> None:
    called = {"turns": [{"tool_calls": [{"name": "memory", "args": {"action": "recall"}, "id": "c1"}]}, {"text": "Done."}]}
    member = await caller.agent(model="scripted:play", script=called, worker_config={"permissions": {"ask": ["memory"]}})
    paused = await caller.chat(member, "Hello", user_id="u1")
    await caller.post(f"/v2/approvals/{paused['approvals'][0]['id']}/approve", {})
    assert (await caller.ended(paused["run_id"]))["status"] == "completed"
    echo = await caller.agent(model="scripted:echo")
    tasks = {"turns": [{"tool_calls": [{"name": f"delegate_to_{echo}", "args": {"task": "speak"}, "id": "c1"}]}, {"text": "Done."}]}
    leader = await caller.agent(model="scripted:play", script=tasks)
    members = [{"agent_id": leader, "role": "leader"}, {"agent_id": echo}]
    team = await caller.post("/v2/teams", {"name": "team", "mode": "coordinate", "agents": members})
    await caller.post(f"/v2/teams/{team['id']}/runs", {"message": "Hello"})


async def do_schedules(caller: Caller, dsn: str) -> None:
    agent = await caller.agent(model="scripted:echo")
    asked = {"subject_type": "agent", "subject_id": agent, "cron": "0 9 * * *", "request": {"message": "Well?"}}
    schedule = await caller.post("/v2/schedules", asked)
    connection = await connect(dsn, role=None)
    await connection.execute("UPDATE schedules SET next_at = clock_timestamp(), cron = '* * * * *' WHERE id = $1", schedule["id"])
    await connection.close()
    async with asyncio.timeout(20):
        while [fire["status"] for fire in (await caller.get(f"/v2/schedules/{schedule['id']}/fires"))["items"]][:1] != ["started"]:
            await asyncio.sleep(0.1)


async def do_webhooks(caller: Caller) -> None:
    """A name that leads nowhere fails like any other endpoint."""
    endpoint = await caller.post("/v2/webhooks", {"url": "https://hooks.invalid/"})
    await caller.chat(await caller.agent(model="scripted:echo"), "Hello")
    async with asyncio.timeout(20):
        while not any(each["last_error"] for each in (await caller.get(f"/v2/webhooks/{endpoint['id']}/deliveries"))["items"]):
            await asyncio.sleep(0.1)


async def do_jobs(caller: Caller, dsn: str) -> None:
    """What workers write, by their statements, in this very process, which is the one that counts."""
    db, owner = await Database.connect(dsn, pool_size=4), await connect(dsn, role=None)
    scene, writer, outputs = Scene(db, owner), JobWriter(db), Outputs(db)
    loops = [asyncio.create_task(loop) for loop in (writer.run_claiming(), writer.run_finishing())]

    async def begin(job_id: str, **fields: Any) -> Any:
        return await writer.claim(scene.wish(uuid.UUID(job_id), **fields))

    try:
        job = (await caller.post("/v2/jobs", {"prompt": "Look around"}))["id"]
        assert await writer.finish(Finish(await begin(job), "broke", reason="target: gone"))
        await owner.execute("UPDATE job_details SET not_before = NULL")
        attempt = await begin(job)
        outputs.add(attempt, "hello", "stdout")
        await outputs.finish(attempt)
        assert await writer.finish(Finish(attempt, "asks"))
        async with db.transaction() as connection:
            assert await wake(connection, attempt.job_id)
        running = await begin(job, slots=1)
        waiting = (await caller.post("/v2/jobs", {"prompt": "Wait"}))["id"]
        await begin(waiting, slots=1)
        assert await writer.finish(Finish(running, "failed", reason="exit 1"))
        await caller.post(f"/v2/jobs/{job}/retry", {})
        await caller.post(f"/v2/jobs/{job}/cancel", {})
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await owner.close()
        await db.close()


def test_every_failpoint_is_documented_with_its_sentence() -> None:
    lines = [line.split(" | ") for line in DOCUMENT.read_text().partition("## Failpoints")[2].splitlines() if line.startswith("| `")]
    documented = {cells[0].strip("|` "): cells[2].strip("| ") for cells in lines if len(cells) == 3}
    points = {name.rpartition(".")[0]: sentence for name, sentence in ours().items()}
    assert documented == points


async def test_a_gateway_with_a_failpoint_armed_warns_as_soon_as_it_starts(dsn: str, start: Start) -> None:
    gateway = await start(dsn, POINTSMAN_FAILPOINTS=f'["{NOBODY_FAILS}"]')
    assert "failpoints.armed" in gateway.log.read_text()
    assert NOBODY_FAILS in gateway.log.read_text()


async def test_an_unknown_failpoint_does_not_start(dsn: str, start: Start) -> None:
    with pytest.raises(RuntimeError, match=r"Did you mean runs\.open\.in\?"):
        await start(dsn, POINTSMAN_FAILPOINTS='["runs.opn.in:kill"]')


def test_doctor_tells_of_armed_failpoints(tmp_path: Path) -> None:
    environment = {**os.environ, "POINTSMAN_DATA_DIR": str(tmp_path), "POINTSMAN_FAILPOINTS": f'["{NOBODY_FAILS}"]'}
    doctor = subprocess.run([sys.executable, "-m", "pointsman", "doctor", "--json"], env=environment, capture_output=True, check=False)
    assert b"POINTSMAN_FAILPOINTS is set" in doctor.stdout
