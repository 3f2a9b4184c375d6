"""Engines of one's own: a signed request to an endpoint, or an installed entry point."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from tests.execution.engine_scene import parts_of
from tests.execution.remote_scene import Remote
from tests.execution.test_policy import engine_of as row_of
from tests.fakes.agent_api import SIGNING
from tests.fakes.sandbox import FolderSandbox
from tests.fakes.work import FakeWork

from pointsman.execution.engines import Parts, make_engine
from pointsman.execution.errors import EngineFailed, EngineNotInstalled, TargetFailed
from pointsman.execution.handlers import read_handler
from pointsman.execution.ports import Done, Engine, Failed
from pointsman.jobs.job_spec import JobSpec
from pointsman.kit.db import Connection, Database
from pointsman.kit.problems import InvalidRequest
from pointsman.kit.signing import signature_headers
from pointsman.settings import Settings


@pytest.fixture
async def parts(settings: Settings, db: Database, dsn: str) -> AsyncGenerator[Parts]:
    given = settings.model_copy(update={"secrets": {"signing": SecretStr(SIGNING), "wrong": SecretStr("whsec_AAAA")}})
    async with parts_of(given, db, dsn) as parts:
        yield parts


def custom(parts: Parts, **config: Any) -> Engine:
    return make_engine(msgspec.structs.replace(row_of({}), type="custom", handler_config=config), parts)


def calling(parts: Parts, remote: Remote, secret: str = "signing") -> Engine:
    return custom(parts, endpoint={"url": f"{remote.url}/custom", "secret": {"secret": secret}}, options={"colour": "red"})


def work_of(job: str, prompt: str, tmp_path: Path) -> FakeWork:
    return FakeWork(FolderSandbox(tmp_path), prompt=prompt, job_id=job, spec=JobSpec(objective="O"))


async def test_an_endpoint_gets_the_job_signed_and_answers_it(
    parts: Parts,
    remote: Remote,
    job_id: str,
    owner: Connection,
    tmp_path: Path,
) -> None:
    outcome = await calling(parts, remote).run(work_of(job_id, "x", tmp_path))
    assert isinstance(outcome, Done), outcome
    assert (outcome.result["output"], outcome.result["result"]) == ("Done.", {"echo": {"colour": "red"}})
    sent = (await remote.asked("POST"))[0]
    assert (sent["body"]["job_id"], sent["body"]["job_spec"]["objective"], sent["body"]["epoch"]) == (job_id, "O", 1)
    assert sent["headers"]["webhook-id"] == f"pm-{job_id}-1"
    assert await owner.fetchval("SELECT model FROM token_usage") == "theirs:m"


async def test_a_request_that_is_repeated_is_recognised_by_its_id(
    parts: Parts,
    remote: Remote,
    job_id: str,
    owner: Connection,
    tmp_path: Path,
) -> None:
    with pytest.raises(EngineFailed):
        await calling(parts, remote).run(work_of(job_id, "away=1", tmp_path))
    await owner.execute("UPDATE job_details SET epoch = 2")
    again = work_of(job_id, "away=1", tmp_path)
    again.epoch = 2
    again.checkpoint = json.loads(await owner.fetchval("SELECT checkpoint::text FROM job_details WHERE job_id = $1", uuid.UUID(job_id)))
    assert isinstance(await calling(parts, remote).run(again), Done)
    assert {one["headers"]["webhook-id"] for one in await remote.asked("POST")} == {f"pm-{job_id}-1"}


@pytest.mark.parametrize(
    ("prompt", "secret", "reason"),
    [
        ("fail", "signing", "model: It broke."),
        ("refuse", "signing", "invalid: the endpoint answered with status 400"),
        ("garbage", "signing", "invalid: the endpoint's answer has no status"),
        ("x", "wrong", "invalid: the endpoint answered with status 401"),
    ],
)
async def test_what_an_endpoint_refuses_fails_the_job(
    parts: Parts,
    remote: Remote,
    job_id: str,
    tmp_path: Path,
    prompt: str,
    secret: str,
    reason: str,
) -> None:
    outcome = await calling(parts, remote, secret).run(work_of(job_id, prompt, tmp_path))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(reason)


async def test_a_secret_that_is_not_set_is_named(parts: Parts, remote: Remote, job_id: str, tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match="'none'"):
        await calling(parts, remote, "none").run(work_of(job_id, "x", tmp_path))


def test_signatures_are_those_of_the_standard() -> None:
    body = '{"a": "é"}'
    headers = signature_headers([SIGNING], "msg_1", 1_700_000_000, body.encode())

    moment = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    assert headers["webhook-signature"] == Webhook(SIGNING).sign("msg_1", moment, body)


@pytest.mark.parametrize("url", ["http://engine.example/x", "http://10.0.0.1/", "ftp://x"])
def test_an_endpoint_is_asked_by_https(url: str) -> None:
    with pytest.raises(InvalidRequest):
        read_handler("custom", {"endpoint": {"url": url, "secret": {"secret": "s"}}})


async def test_an_installed_entry_point_is_the_engine(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site"
    info = package / "their_engine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pointsman.engines]\ntheirs = their_engine_of_the_test:make\n")
    (package / "their_engine_of_the_test.py").write_text(
        "from pointsman.execution.ports import Done\n"
        "def make(options):\n    return Theirs(options)\n"
        "class Theirs:\n    def __init__(self, options):\n        self.options = options\n"
        "    async def run(self, work):\n        return Done({'status': 'completed', 'said': self.options, 'prompt': work.prompt})\n"
    )
    monkeypatch.syspath_prepend(str(package))
    outcome = await custom(parts, entry_point="theirs", options={"a": 1}).run(work_of(str(uuid.uuid4()), "hello", tmp_path))
    assert outcome == Done({"status": "completed", "said": {"a": 1}, "prompt": "hello"})
    with pytest.raises(EngineNotInstalled, match="'ours'") as refused:
        custom(parts, entry_point="ours")
    assert "There are: theirs." in refused.value.hint
