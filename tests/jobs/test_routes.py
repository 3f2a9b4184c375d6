"""Jobs over HTTP: asked for, read, followed, cancelled, tried again; every refusal says what is wrong."""

from __future__ import annotations

import asyncio
import base64
import io
import tarfile
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from tests.api.conftest import whole
from tests.api.edge_scene import client_of, make_key
from tests.jobs.job_scene import Scene

from pointsman.api.door import Door
from pointsman.client.streaming import parse
from pointsman.kit.db import Connection

__all__ = ["whole"]


@pytest.fixture
async def api(whole: Door, owner: Connection) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(whole, await make_key(owner, "admin")) as client:
        yield client


@pytest.fixture
async def acme(whole: Door, owner: Connection) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(whole, await make_key(owner, "jobs:read", "jobs:write", owner_id="acme")) as client:
        yield client


async def submitted(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v2/jobs", json={"prompt": "Look around", **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v2/jobs/{answer.json()['id']}"
    return answer.json()


def tar(**files: bytes) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return base64.b64encode(buffer.getvalue()).decode()


def frames(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    return [(event.id, event.name, event.data) for event in parse(text.splitlines())]


async def test_a_job_is_its_columns_under_their_names_with_its_attempts(api: httpx.AsyncClient, scene: Scene) -> None:
    spec = {"commands": [["true"]], "max_attempts": 2}
    job = await submitted(api, engine="direct_ops", target="local", job_spec=spec, memory_limit_mb=128, timeout_seconds=30, priority=7)
    columns = await scene.owner.fetch(
        "SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = 'execution_jobs'"
    )
    assert {row["name"] for row in columns} <= set(job)
    assert (job["status"], job["attempts"], job["job_spec"], job["memory_limit_mb"], job["priority"]) == ("queued", [], spec, 128, 7)
    assert (job["timeout_at"], job["timeout_seconds"], job["max_attempts"]) == (None, 30, 2)
    attempt = await scene.begin(uuid.UUID(job["id"]))
    await scene.end(attempt, result='{"status": "completed"}', exit_code=0, peak_memory_mb=5)
    done = (await api.get(f"/v2/jobs/{job['id']}")).json()
    assert (done["status"], done["result"], done["execution_target"]["id"]) == ("completed", {"status": "completed"}, "local")
    (tried,) = done["attempts"]
    assert {"number": 1, "epoch": 1, "status": "completed", "memory_limit_mb": 128, "peak_memory_mb": 5}.items() <= tried.items()
    assert (await api.get(f"/v2/jobs/{job['id']}/attempts")).json() == {"items": [tried], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"promt": "x"}, "/promt", "Did you mean 'prompt'?"),
        ({"engine": "direct_op"}, "/engine", "Did you mean 'direct_ops'?"),
        ({"worker_config": {"execution_engine_preference": "code"}}, "/worker_config/execution_engine_preference", "no active engine"),
        ({"target": "locl"}, "/target", "Did you mean 'local'?"),
        ({"worker_pool": "linux_worker_pol"}, "/worker_pool", "Did you mean 'linux_worker_pool'?"),
        ({"target": "local", "worker_pool": "gpu"}, "/worker_pool", "belongs to the pool linux_worker_pool"),
        ({"worker_config": {"worker_pool": "gpu"}}, "/worker_config/worker_pool", "no active target in the pool"),
        ({"job_spec": {"comands": []}}, "/job_spec/comands", "Did you mean 'commands'?"),
        ({"job_spec": {"commands": [[]]}}, "/job_spec/commands/0", "at least 1"),
        ({"job_spec": {"max_attempts": 0}}, "/job_spec/max_attempts", "greater than or equal to 1"),
        ({"memory_limit_mb": 1}, "/memory_limit_mb", "greater than or equal to 16"),
        ({"timeout_seconds": 0}, "/timeout_seconds", "greater than 0"),
        ({"timeout_seconds": 10**9}, "/timeout_seconds", "less than or equal to 86400"),
        ({"priority": 10}, "/priority", "less than or equal to 9"),
        ({"workspace": "%%%"}, "/workspace", "not base64"),
        ({"workspace": "aGVsbG8="}, "/workspace", "not a tar"),
    ],
)
async def test_what_is_wrong_is_named_with_what_was_probably_meant(
    api: httpx.AsyncClient, body: dict[str, Any], pointer: str, words: str
) -> None:
    answer = await api.post("/v2/jobs", json={"prompt": "x", **body})
    assert answer.status_code == 422, answer.text
    told = answer.json()["errors"]
    assert any(error["pointer"] == pointer and words in error["message"] for error in told), told


async def test_without_a_prompt_nothing_is_asked_for(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/jobs", json={})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/prompt")


async def test_the_same_key_makes_one_job(api: httpx.AsyncClient, owner: Connection) -> None:
    headers = {"idempotency-key": "once"}
    answers = await asyncio.gather(*(api.post("/v2/jobs", json={"prompt": "x"}, headers=headers) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await owner.fetchval("SELECT count(*) FROM execution_jobs") == 1
    other = await api.post("/v2/jobs", json={"prompt": "y"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_jobs_are_listed_newest_first_and_filtered(api: httpx.AsyncClient, scene: Scene) -> None:
    await scene.target("gpu1", "gpu")
    first, second, third = await submitted(api), await submitted(api, target="gpu1"), await submitted(api, target="local")
    await scene.begin(uuid.UUID(third["id"]))

    async def ids(**query: str) -> list[str]:
        return [job["id"] for job in (await api.get("/v2/jobs", params=query)).json()["items"]]

    assert await ids() == [third["id"], second["id"], first["id"]]
    assert await ids(status="running") == [third["id"]]
    assert await ids(pool="gpu") == await ids(target="gpu1") == [second["id"]]
    assert await ids(run="run_none") == []
    page = (await api.get("/v2/jobs", params={"limit": 2})).json()
    rest = (await api.get("/v2/jobs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [job["id"] for job in rest["items"]] == [first["id"]]
    assert (await api.get("/v2/jobs", params={"status": "done"})).status_code == 422


async def test_what_is_not_there_is_not_found(api: httpx.AsyncClient, acme: httpx.AsyncClient) -> None:
    mine = (await submitted(api))["id"]
    for client, job in ((api, str(uuid.uuid4())), (api, "no-uuid"), (acme, mine)):
        for method, path in (
            ("GET", ""),
            ("GET", "/attempts"),
            ("GET", "/events"),
            ("GET", "/workspace"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
        ):
            answer = await client.request(method, f"/v2/jobs/{job}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found"), (method, path)


async def test_a_tenants_jobs_go_to_open_targets_only(acme: httpx.AsyncClient, scene: Scene) -> None:
    await scene.target("closed", "other_pool")
    await scene.owner.execute("UPDATE execution_targets SET connection_config = '{}' WHERE id = 'closed'")
    refused = await acme.post("/v2/jobs", json={"prompt": "x", "target": "closed"})
    assert (refused.status_code, refused.json()["code"]) == (403, "job-target-forbidden")
    await scene.owner.execute("""UPDATE execution_targets SET connection_config = '{"tenants": ["acme"]}' WHERE id = 'closed'""")
    job = await submitted(acme, target="closed")
    assert (job["tenant_id"], job["worker_pool"]) == ("acme", "other_pool")
    assert (await submitted(acme, target="local"))["tenant_id"] == "acme"


async def test_a_queued_job_is_cancelled_at_once_and_again_is_fine(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api))["id"]
    for _ in range(2):
        answer = await api.post(f"/v2/jobs/{job}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "failed")
        assert answer.json()["last_failure_reason"].startswith("cancelled")
    entries = await scene.owner.fetch("SELECT action, object_id FROM audit_log WHERE object_type = 'job'")
    assert [(entry["action"], entry["object_id"]) for entry in entries] == [("job.cancelled", job)]


async def test_a_running_job_is_cancelled_by_its_worker(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api))["id"]
    attempt = await scene.begin(uuid.UUID(job))
    asking = asyncio.create_task(api.post(f"/v2/jobs/{job}/cancel"))
    async with asyncio.timeout(5):
        while not (await scene.job(attempt.job_id))["cancel_requested"]:
            await asyncio.sleep(0.01)
    await scene.end(attempt, "failed", reason="cancelled: somebody asked for it")
    answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")


async def test_a_job_that_awaits_a_decision_is_cancelled(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api))["id"]
    await scene.end(await scene.begin(uuid.UUID(job)), "asks")
    assert (await api.post(f"/v2/jobs/{job}/cancel")).json()["status"] == "failed"


async def test_what_has_ended_is_not_cancelled(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api))["id"]
    await scene.end(await scene.begin(uuid.UUID(job)))
    answer = await api.post(f"/v2/jobs/{job}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "job-state-refused")


async def test_a_job_is_tried_again_only_from_an_end_that_is_no_success(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api, job_spec={"max_attempts": 1}))["id"]
    number = uuid.UUID(job)

    async def retried() -> int:
        return (await api.post(f"/v2/jobs/{job}/retry")).status_code

    assert await retried() == 409
    attempt = await scene.begin(number)
    assert await retried() == 409
    await scene.end(attempt, "failed", reason="exit 1", result='{"status": "failed"}')
    again = await api.post(f"/v2/jobs/{job}/retry")
    assert (again.status_code, again.json()["status"], again.json()["result"]) == (200, "queued", None)
    await scene.end(await scene.begin(number), "ran_out", evidence="{}")
    assert await retried() == 200
    await scene.end(await scene.begin(number), "asks")
    assert await retried() == 409
    await scene.owner.execute("UPDATE execution_jobs SET status = 'queued' WHERE id = $1", number)
    await scene.end(await scene.begin(number), "circuit_open", reason="circuit: open")
    assert await retried() == 200
    await scene.end(await scene.begin(number))
    assert await retried() == 409
    done = (await api.get(f"/v2/jobs/{job}")).json()
    assert [attempt["status"] for attempt in done["attempts"]] == ["failed", "oom", "paused", "open", "completed"]
    assert done["retry_count"] == 3


async def test_a_jobs_events_are_replayed_and_resumed_to_its_end(api: httpx.AsyncClient, scene: Scene) -> None:
    job = (await submitted(api))["id"]
    attempt = await scene.begin(uuid.UUID(job))
    following = asyncio.create_task(api.get(f"/v2/jobs/{job}/events"))
    await asyncio.sleep(0.2)
    assert not following.done()
    await scene.end(attempt)
    found = frames((await following).text)
    assert [(seq, kind) for seq, kind, _ in found] == [(1, "job.queued"), (2, "job.started"), (3, "job.finished")]
    assert found[2][2]["job_id"] == job
    resumed = await api.get(f"/v2/jobs/{job}/events", headers={"last-event-id": "2"})
    assert frames(resumed.text) == found[2:]
    assert frames((await api.get(f"/v2/jobs/{job}/events?after=1&stream_verbosity=result")).text) == found[2:]
    assert (await api.get(f"/v2/jobs/{job}/events?stream_verbosity=loud")).status_code == 422
    assert (await api.get(f"/v2/jobs/{job}/events", headers={"last-event-id": "x"})).status_code == 422
    await scene.owner.execute("DELETE FROM job_events")
    gone = await api.get(f"/v2/jobs/{job}/events")
    assert (gone.status_code, gone.json()["code"]) == (410, "job-events-expired")


async def test_files_go_in_and_come_out(api: httpx.AsyncClient, scene: Scene) -> None:
    given = tar(**{"a.txt": b"hello"})
    job = (await submitted(api, workspace=given))["id"]
    into = await api.get(f"/v2/jobs/{job}/workspace?kind=in")
    assert (into.headers["content-type"], into.content) == ("application/x-tar", base64.b64decode(given))
    missing = await api.get(f"/v2/jobs/{job}/workspace")
    assert (missing.status_code, missing.json()["code"]) == (404, "job-workspace-missing")
    await scene.end(await scene.begin(uuid.UUID(job)), left=b"what it left")
    assert (await api.get(f"/v2/jobs/{job}/workspace")).content == b"what it left"
    assert (await api.get(f"/v2/jobs/{job}/workspace?kind=all")).status_code == 422
