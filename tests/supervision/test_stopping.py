"""Cancelled, out of time, out of memory, risky: what else may become of a supervised run."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
from datetime import timedelta
from typing import Any

import pytest
from tests.supervision.supervision_scene import OPERATOR, Supervision, fix, no_work

from pointsman.execution.defaults import make_defaults
from pointsman.kit.ids import new_id
from pointsman.kit.problems import Problem
from pointsman.runs import queries as run_queries
from pointsman.runs.errors import TooManyRuns
from pointsman.sessions.errors import SessionBusy, SessionNotFound
from pointsman.settings import SupervisionSettings
from pointsman.supervision.errors import WorkspaceInvalid

ANSWER = {"text": "It is repaired."}


async def cancel(scene: Supervision, run_id: str) -> None:
    async with scene.db.transaction() as connection:
        assert await run_queries.request_cancel(connection, run_id)
        await scene.service.stop(connection, run_id)


async def test_a_run_whose_jobs_wait_is_cancelled_with_them(scene: Supervision) -> None:
    await scene.team(fix(jobs=[{"objective": "One."}, {"objective": "Two."}]), ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    one, two = await scene.job_ids(run_id)
    claimed = await scene.begin(one)
    await scene.messages()
    await cancel(scene, run_id)
    assert await scene.messages() == [run_id]
    await scene.drive(run_id)
    assert (await scene.run(run_id))["status"] == "running"  # one of its jobs is still being ended
    states = {row["id"]: row["status"] for row in await scene.owner.fetch("SELECT id, status FROM execution_jobs")}
    assert states == {one: "running", two: "failed"}
    await scene.finish(one, "failed", reason="cancelled: somebody asked for it", attempt=claimed)
    assert await scene.messages() == [run_id]
    await scene.drive(run_id)
    run, story = await scene.run(run_id), await scene.story(run_id)
    assert (run["status"], story["status"]) == ("cancelled", "failed")
    assert (await scene.names(run_id))[-1] == "run.cancelled"


async def test_a_run_is_cancelled_while_its_leader_answers_and_the_call_is_estimated(scene: Supervision) -> None:
    await scene.team(no_work(), {"text": " ".join(["word"] * 500), "delay_ms": 20})
    run_id = (await scene.ask()).run_id
    driving = asyncio.create_task(scene.drive(run_id))
    async with asyncio.timeout(10):
        while "message.delta" not in await scene.names(run_id):
            await asyncio.sleep(0.05)
    await cancel(scene, run_id)
    await driving
    run = await scene.run(run_id)
    assert run["status"] == "cancelled"
    assert run["result"]["content"].startswith("word")
    assert [estimated for *_, estimated in await scene.usage(run_id)] == [False, True]


async def test_a_run_that_was_cancelled_before_any_worker_had_it_asks_no_model(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    run_id = (await scene.ask()).run_id
    await cancel(scene, run_id)
    await scene.drive(run_id)
    assert (await scene.run(run_id))["status"] == "cancelled"
    assert await scene.usage(run_id) == []


async def test_a_run_that_is_out_of_time_takes_its_jobs_along(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    await scene.messages()
    assert await scene.service.sweep_once() == 0
    await scene.owner.execute("UPDATE supervisor_details SET deadline_at = now() - interval '1 second'")
    assert await scene.service.sweep_once() == 1
    assert await scene.messages() == [run_id]
    await scene.drive(run_id)
    run = await scene.run(run_id)
    assert (run["status"], run["error"]["code"]) == ("failed", "run-timed-out")
    assert await scene.owner.fetchval("SELECT last_failure_reason FROM execution_jobs") == "cancelled: somebody asked for it"
    assert await scene.service.sweep_once() == 0


async def test_a_run_whose_last_message_was_lost_is_found(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER)
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    [job] = await scene.job_ids(run_id)
    await scene.finish(job)
    await scene.messages()
    assert await scene.service.sweep_once() == 1
    await scene.drive(run_id)
    assert (await scene.run(run_id))["status"] == "completed"


async def test_memory_that_ran_out_for_good_is_planned_around_once(scene: Supervision) -> None:
    small = fix(jobs=[{"objective": "In pieces.", "max_attempts": 1}])
    await scene.team(fix(jobs=[{"objective": "At once.", "max_attempts": 1}]), small, {"text": "{message}"})
    run_id = (await scene.ask()).run_id
    await scene.drive(run_id)
    [first] = await scene.job_ids(run_id)
    await scene.finish(first, "ran_out", reason="oom: 4096 MB were not enough")
    await scene.drive(run_id)
    story = await scene.story(run_id)
    assert (story["stage"], story["round"]) == ("jobs", 1)
    note = [text for who, text in await scene.said(run_id) if who == "user"][1]
    assert "Memory ran out for good" in note
    _, second = await scene.job_ids(run_id)
    await scene.finish(second, "ran_out", reason="oom: still not enough")
    await scene.drive(run_id)
    run = await scene.run(run_id)
    assert run["status"] == "completed"  # told honestly, and not planned a third time
    assert "In pieces." in run["result"]["content"]
    assert "oom" in run["result"]["content"]
    assert run["result"]["supervisor"]["jobs"] == [str(first), str(second)]


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({}, False),
        ({"risk_level": "medium"}, False),
        ({"risk_level": "high"}, True),
        ({"requires_human_review": True}, True),
        ({"classification": "high_risk_escalation"}, True),
        ({"jobs": [{"objective": "x", "allow_git_push": True}]}, True),
        ({"jobs": [{"objective": "x", "operation_mode": "dangerous_remediation"}]}, True),
    ],
)
async def test_a_risky_job_asks_before_it_acts(scene: Supervision, changes: dict[str, Any], asks: bool) -> None:
    worker = {"permissions": {"allow": ["command(git *)"], "deny": ["command(rm *)"]}, "allowed_commands": ["git *"]}
    await scene.team(fix(**changes), ANSWER, coding=worker)
    await scene.drive((await scene.ask()).run_id)
    given = json.loads(await scene.owner.fetchval("SELECT worker_config::text FROM execution_jobs"))
    assert given["permissions"]["deny"] == ["command(rm *)"]
    assert given["allowed_commands"] == ["git *"]
    assert bool(given["permissions"]["ask"]) is asks


async def test_a_code_agent_that_asks_first_may_look_around(scene: Supervision) -> None:
    await make_defaults(scene.db)
    worker = {"execution_engine_preference": "code_agent", "permissions": {"ask": ["search"]}}
    await scene.team(fix(risk_level="high"), ANSWER, coding=worker)
    await scene.drive((await scene.ask()).run_id)
    given = json.loads(await scene.owner.fetchval("SELECT worker_config::text FROM execution_jobs"))
    assert given["permissions"]["ask"] == ["search", "command", "write_file", "edit_file", "delete_file"]


async def test_the_worker_is_the_member_whose_role_is_the_kind_of_work(scene: Supervision) -> None:
    await scene.team(fix(worker_type="verifier"), ANSWER, coding={}, verifier={"worker_pool": "testers"})
    await scene.drive((await scene.ask()).run_id)
    row = await scene.owner.fetchrow("SELECT agent_id, worker_pool FROM job_details")
    assert row is not None
    assert tuple(row[name] for name in ("agent_id", "worker_pool")) == ("worker-verifier", "testers")


async def test_the_engine_is_the_workers_else_the_leaders_else_the_default(scene: Supervision) -> None:
    for name, default in (("ours", True), ("theirs", False)):
        await scene.owner.execute(
            "INSERT INTO execution_engines (id, name, type, is_default) VALUES ($1, $1, 'direct_ops', $2) ON CONFLICT DO NOTHING",
            name,
            default,
        )
    await scene.team(fix())
    engines: list[str | None] = []
    for turn in (fix(), fix(execution_engine="theirs"), fix(execution_engine="nobodys")):
        await scene.script(turn)
        run_id = (await scene.ask()).run_id
        await scene.drive(run_id)
        engines.append((await scene.story(run_id))["execution_engine"])
    assert engines == ["ours", "theirs", None]
    assert "there is no engine 'nobodys'" in (await scene.run(run_id))["error"]["detail"]


async def test_files_of_the_request_are_what_its_jobs_begin_with(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"hi"))
    data = base64.b64encode(archive.getvalue()).decode()
    run_id = (await scene.ask(attachments=[{"media_type": "application/x-tar", "data": data}])).run_id
    await scene.drive(run_id)
    [job] = await scene.job_ids(run_id)
    assert await scene.owner.fetchval("SELECT data FROM job_workspaces WHERE job_id = $1 AND kind = 'in'", job) == archive.getvalue()
    await scene.finish(job)
    await scene.drive(run_id)
    assert (await scene.story(run_id))["workspace"] is None  # the run has ended
    for bad in ({"data": "bm90IGEgdGFy"}, {"data": "%"}, {"url": "https://example.com/a.tar"}, {"data": ""}):
        with pytest.raises(WorkspaceInvalid):
            await scene.ask(attachments=[{"media_type": "application/x-tar", **bad}])


async def test_one_turn_of_a_session_at_a_time_and_of_its_user_alone(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    await scene.ask(session_id="s", user_id="ann")
    with pytest.raises(SessionBusy):
        await scene.ask(session_id="s", user_id="ann")
    with pytest.raises(SessionNotFound):
        await scene.ask(session_id="s", user_id="bob")


async def test_the_same_run_is_opened_once(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    run_id = new_id("run")
    first, second = await scene.ask(run_id=run_id), await scene.ask(run_id=run_id)
    assert first.run_id == second.run_id == run_id
    assert first.supervisor_run_id == second.supervisor_run_id
    assert await scene.messages() == [run_id]


async def test_there_are_only_so_many_live_runs_of_a_tenant(scene: Supervision) -> None:
    scene.service = scene.made_with(SupervisionSettings(live_runs=2, max_duration=timedelta(hours=1)))
    await scene.team(no_work(), ANSWER)
    for _ in range(2):
        await scene.ask()
    with pytest.raises(TooManyRuns):
        await scene.ask()


async def test_what_is_wrong_is_said_before_there_is_a_run(scene: Supervision) -> None:
    await scene.team(no_work(), ANSWER)
    with pytest.raises(Problem):
        await scene.ask(model="nobody:nothing")
    assert await scene.owner.fetchval("SELECT count(*) FROM supervisor_runs") == 0


async def test_with_its_session_a_supervised_run_is_gone_from_every_table(scene: Supervision) -> None:
    await scene.team(fix(jobs=[{"objective": "xyzzy"}]), {"text": "xyzzy"})
    run_id = (await scene.ask("xyzzy", session_id="s")).run_id
    await scene.drive(run_id)
    [job] = await scene.job_ids(run_id)
    await scene.finish(job, result={"output": "xyzzy"})
    await scene.drive(run_id)
    async with scene.db.transaction() as connection:
        await connection.execute("DELETE FROM runs WHERE id = $1", run_id)
        await connection.execute("DELETE FROM sessions WHERE id = 's'")
    for table in ("supervisor_runs", "supervisor_details", "execution_jobs", "job_details", "messages"):
        assert await scene.owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_a_leader_that_is_described_by_its_story(scene: Supervision) -> None:
    await scene.team(fix(), ANSWER)
    accepted = await scene.ask()
    async with scene.db.connection() as connection:
        before = await scene.service.describe(connection, [accepted.run_id])
    assert before[accepted.run_id]["classification"] is None
    await scene.drive(accepted.run_id)
    async with scene.db.connection() as connection:
        after = (await scene.service.describe(connection, [accepted.run_id, "run_other"]))[accepted.run_id]
    assert list(after["jobs"]) == [str(job) for job in await scene.job_ids(accepted.run_id)]
    assert (after["classification"], after["risk_level"], after["worker_agent_id"]) == ("code_fix", "low", "worker-coding")
    assert OPERATOR.tenant_key == ""
