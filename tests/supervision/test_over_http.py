"""Supervised runs as clients have them: a gateway, a worker's process, and one route for both kinds of teams."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Cluster, run_aside
from tests.e2e.calling import Caller, EventReader, names, unique
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread
from tests.supervision.supervision_scene import fix, no_work

from pointsman.settings import KeyRingSettings

ANSWER = {"text": "It is repaired."}
WITHIN = 60

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Site:
    """A gateway with a worker beside it."""

    url: str
    admin: str


@pytest.fixture(scope="module")
def site(cluster: Cluster, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with cluster.database(migrated_template) as dsn:
        admin = run_aside(admin_key(dsn, folder))
        settings = {"data_dir": folder / "data", "port": 0, "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]})}
        with serving_from_a_thread(dsn, settings) as url, _working(dsn, folder):
            yield Site(url, admin)


class _working:  # noqa: N801 - it is used like a function
    """A worker's process for as long as the block lasts."""

    def __init__(self, dsn: str, folder: Path) -> None:
        own = {"POINTSMAN_DATABASE__URL": dsn, "POINTSMAN_DATA_DIR": str(folder / "data"), "POINTSMAN_KEYRING__KEYS": f'["{KEYRING}"]'}
        self._environment = {**os.environ, **own}
        self._log = (folder / "worker.log").open("wb")

    def __enter__(self) -> None:
        command = [sys.executable, "-m", "pointsman", "worker"]
        self._process = subprocess.Popen(command, env=self._environment, stdout=self._log, stderr=self._log)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture
async def caller(site: Site) -> AsyncGenerator[Caller]:
    caller = Caller(site.url, site.admin)
    yield caller
    await caller.aclose()


async def hired(caller: Caller, *turns: dict[str, Any]) -> str:
    """A supervising team of its own."""
    leader = await caller.agent(model="scripted:script", script={"turns": list(turns)})
    worker = await caller.agent(model="scripted:echo")
    seats = [{"agent_id": leader, "role": "leader"}, {"agent_id": worker, "role": "coding"}]
    return (await caller.post("/v2/teams", {"id": unique("team"), "name": "Crew", "mode": "supervisor", "agents": seats}))["id"]


def one_job(*commands: list[str]) -> dict[str, Any]:
    return fix(jobs=[{"objective": "Do it.", "commands": list(commands)}])


async def test_a_request_is_accepted_at_once_and_followed_to_its_answer(caller: Caller) -> None:
    team = await hired(caller, one_job(), ANSWER)
    answer = await caller.http.post(f"/v2/teams/{team}/runs", json={"message": "It is broken."})
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    run_id = accepted["run_id"]
    assert answer.headers["location"] == f"/v2/runs/{run_id}"
    assert accepted["events"] == f"/v2/runs/{run_id}/events"
    assert accepted["status"] in {"pending", "running"}
    events = await caller.replay(run_id, verbosity="full")
    assert names(events)[0] == "run.started"
    assert names(events)[-1] == "run.completed"
    assert {"job.queued", "job.started", "job.finished", "usage.recorded", "message.completed"} <= set(names(events))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    run = await caller.get(f"/v2/runs/{run_id}")
    assert (run["kind"], run["subject"], run["status"], run["content"]) == ("supervised", team, "completed", "It is repaired.")
    supervisor = run["supervisor"]
    assert supervisor["supervisor_run_id"] == accepted["supervisor_run_id"]
    assert (supervisor["classification"], supervisor["risk_level"], supervisor["execution_engine"]) == ("code_fix", "low", "direct_ops")
    [job_id] = supervisor["jobs"]
    job = await caller.get(f"/v2/jobs/{job_id}")
    assert (job["status"], job["run_id"], job["supervisor_run_id"]) == ("completed", run_id, accepted["supervisor_run_id"])
    assert events[-1].data["supervisor"] == supervisor
    [listed] = (await caller.get("/v2/runs", subject=team))["items"]
    assert listed == run


async def test_who_waits_gets_the_answer_itself(caller: Caller) -> None:
    team = await hired(caller, no_work(), {"text": "Forty-two."})
    for body, query in ({"message": "How many?", "wait": True}, ""), ({"message": "How many?"}, "?wait=true"):
        answer = await caller.http.post(f"/v2/teams/{team}/runs{query}", json=body)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["content"], told["status"], told["team_id"]) == ("Forty-two.", "completed", team)
        assert told["supervisor"]["classification"] == "answer_only"
        assert (await caller.get(f"/v2/runs/{told['run_id']}"))["usage"] == told["usage"]


async def test_a_run_that_fails_is_its_problem_to_who_waits(caller: Caller) -> None:
    team = await hired(caller, {"text": "no classification"})
    answer = await caller.http.post(f"/v2/teams/{team}/runs", json={"message": "x", "wait": True})
    assert answer.status_code == 502
    assert answer.json()["code"] == "classification-invalid"
    assert (await caller.get(f"/v2/runs/{answer.json()['run_id']}"))["status"] == "failed"


@pytest.mark.parametrize("verbosity", ["full", "events", "result"])
async def test_a_stream_has_what_its_verbosity_shows(caller: Caller, verbosity: str) -> None:
    team = await hired(caller, one_job(["echo", "xyzzy"]), ANSWER)
    body = {"message": "x", "stream": True, "stream_verbosity": verbosity}
    async with caller.http.stream("POST", f"/v2/teams/{team}/runs", json=body) as response:
        assert response.status_code == 200
        events = await EventReader(response).rest()
    shown = set(names(events))
    assert events[-1].name == "run.completed"
    assert ("job.started" in shown) is (verbosity != "result")
    assert verbosity == "full" or "job.output" not in shown
    if verbosity == "result":
        assert names(events) == ["run.started", "run.completed"]
    again = await caller.replay(events[0].data["run_id"], after=events[0].id)
    assert [event.raw for event in again] == [event.raw for event in events[1:]]


async def test_the_same_idempotency_key_is_the_same_run(caller: Caller) -> None:
    team = await hired(caller, one_job(), ANSWER)
    headers = {"idempotency-key": unique("key")}
    answers = [await caller.http.post(f"/v2/teams/{team}/runs", json={"message": "x"}, headers=headers) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    [run_id] = {answer.json()["run_id"] for answer in answers}
    assert len((await caller.ended(run_id))["supervisor"]["jobs"]) == 1
    assert len((await caller.get("/v2/runs", subject=team))["items"]) == 1


async def test_cancelling_a_run_cancels_its_jobs(caller: Caller) -> None:
    team = await hired(caller, one_job(["sleep", "60"]), ANSWER)
    run_id = (await caller.post(f"/v2/teams/{team}/runs", {"message": "x"}))["run_id"]
    async with caller.follow(run_id) as reader, asyncio.timeout(WITHIN):
        await reader.until("job.started")
        await caller.post(f"/v2/runs/{run_id}/cancel", {})
        assert names(await reader.rest())[-1] == "run.cancelled"
    run = await caller.get(f"/v2/runs/{run_id}")
    assert run["status"] == "cancelled"
    job = await caller.get(f"/v2/jobs/{run['supervisor']['jobs'][0]}")
    assert job["status"] == "failed"
    assert (await caller.http.post(f"/v2/runs/{run_id}/resume")).status_code == 409


async def test_a_run_in_the_hands_of_workers_is_nobody_elses_to_resume(caller: Caller) -> None:
    team = await hired(caller, one_job(["sleep", "60"]), ANSWER)
    run_id = (await caller.post(f"/v2/teams/{team}/runs", {"message": "x"}))["run_id"]
    async with caller.follow(run_id) as reader, asyncio.timeout(WITHIN):
        await reader.until("job.started")
    refused = await caller.http.post(f"/v2/runs/{run_id}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "run-is-running")
    await caller.post(f"/v2/runs/{run_id}/cancel", {})


async def test_files_that_come_with_a_request_are_in_its_jobs_workspace(caller: Caller) -> None:
    team = await hired(caller, one_job(["cat", "note.txt"]), {"text": "{message}"})
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        note = tarfile.TarInfo("note.txt")
        note.size = 5
        tar.addfile(note, io.BytesIO(b"xyzzy"))
    workspace = {"media_type": "application/x-tar", "data": base64.b64encode(archive.getvalue()).decode()}
    body = await caller.post(f"/v2/teams/{team}/runs", {"message": "x", "wait": True, "attachments": [workspace]})
    job = await caller.get(f"/v2/jobs/{body['supervisor']['jobs'][0]}")
    if job["status"] == "completed":  # where no sandbox can be had the leader is told so
        assert job["result"]["output"] == "xyzzy"
    assert job["status"] in body["content"]
    bad = await caller.http.post(f"/v2/teams/{team}/runs", json={"message": "x", "attachments": [workspace, workspace]})
    assert (bad.status_code, bad.json()["code"]) == (422, "workspace-invalid")
    assert bad.json()["errors"][0]["pointer"] == "/attachments/1"


async def test_a_run_of_another_tenant_is_not_there(site: Site, caller: Caller) -> None:
    team = await hired(caller, no_work(), ANSWER)
    scopes = ["teams:run", "agents:run", "runs:read"]
    keys = [await caller.post("/v2/keys", {"name": "k", "owner_id": unique("tenant"), "scopes": scopes}) for _ in range(2)]
    one, two = (Caller(site.url, key["api_key"]) for key in keys)
    try:
        run_id = (await one.post(f"/v2/teams/{team}/runs", {"message": "x"}))["run_id"]
        assert (await one.ended(run_id))["status"] == "completed"
        assert (await two.http.get(f"/v2/runs/{run_id}")).status_code == 404
    finally:
        await one.aclose()
        await two.aclose()
