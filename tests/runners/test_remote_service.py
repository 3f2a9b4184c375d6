"""The runner API beyond what the suite of targets shows: leases, whose sandboxes are whose, bounds, and who may use it at all."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from pydantic import SecretStr
from tests.conformance.runners.remote_service import Served, leftovers, remote_runner
from tests.conformance.scene import run, spec

from pointsman.execution.connections import RemoteServiceConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.runners.remote_service.runner import RemoteRunner


def asked(served: Served, method: str, path: str, body: object = None, key: str | None = None) -> tuple[int, Any]:
    """A request as any client would make it."""
    headers = {"Authorization": f"Bearer {key or served.key}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{served.url}{path}", content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def new_key(served: Served, **about: Any) -> str:
    status, made = asked(served, "POST", "/v2/keys", {"name": "runner", "scopes": ["runner:use"], **about})
    assert status == 201
    return made["api_key"]


def opening(**changes: Any) -> dict[str, Any]:
    return {"target": "local", "handle": "pm-job-1", "memory_mb": 64, "cpus": 1} | changes


async def until_nothing_is_left(served: Served, within: float) -> bool:
    until = time.monotonic() + within
    while leftovers(served) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    return not leftovers(served)


async def test_a_sandbox_whose_caller_is_silent_is_closed(runner_gateway: Served) -> None:
    """The lease is three seconds here."""
    status, _ = asked(runner_gateway, "POST", "/v2/runner/sandboxes", opening())
    assert (status, len(leftovers(runner_gateway))) == (201, 1)
    assert await until_nothing_is_left(runner_gateway, 10)
    assert asked(runner_gateway, "GET", "/v2/runner/sandboxes/pm-job-1")[1]["code"] == "sandbox-not-found"


async def test_a_sandbox_in_which_something_runs_is_kept(runner_gateway: Served) -> None:
    runner = remote_runner(runner_gateway)
    sandbox = await runner.open(spec())
    sandbox.renewing.cancel()
    assert (await run(sandbox, "sh", "-c", "sleep 5; echo still here")).stdout == b"still here\n"
    await sandbox.close()
    await runner.aclose()


async def test_a_caller_that_vanishes_in_a_command_takes_it_along(runner_gateway: Served) -> None:
    runner = remote_runner(runner_gateway)
    sandbox = await runner.open(spec())
    sandbox.renewing.cancel()
    running = asyncio.create_task(run(sandbox, "sleep", "61"))
    await asyncio.sleep(0.5)
    await runner.aclose()  # its connections close, as they do when a process dies
    with pytest.raises(TargetFailed):
        await running
    assert await until_nothing_is_left(runner_gateway, 10)


async def test_a_key_sees_its_own_sandboxes_alone(runner_gateway: Served) -> None:
    other = new_key(runner_gateway)
    asked(runner_gateway, "POST", "/v2/runner/sandboxes", opening())
    assert asked(runner_gateway, "GET", "/v2/runner/sandboxes?target=local")[1] == {"handles": ["pm-job-1"]}
    assert asked(runner_gateway, "GET", "/v2/runner/sandboxes?target=local", key=other)[1] == {"handles": []}
    assert asked(runner_gateway, "GET", "/v2/runner/sandboxes/pm-job-1", key=other)[0] == 404
    assert asked(runner_gateway, "DELETE", "/v2/runner/sandboxes/pm-job-1?target=local", key=other)[0] == 204
    assert asked(runner_gateway, "GET", "/v2/runner/sandboxes/pm-job-1")[0] == 200
    assert asked(runner_gateway, "DELETE", "/v2/runner/sandboxes/pm-job-1?target=local")[0] == 204
    assert leftovers(runner_gateway) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": "other"}, "runner-not-served"),
        ({"memory_mb": 1_000_000}, "sandbox-refused"),
        ({"cpus": 200}, "sandbox-refused"),
        ({"network": True}, "sandbox-refused"),
        ({"handle": "pm-../x"}, "invalid-request"),
        ({"env": {"POINTSMAN_HOST": "x"}}, "sandbox-refused"),
        ({"mounts": []}, "invalid-request"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_what_the_target_does_not_grant_is_refused(runner_gateway: Served, changes: dict[str, Any], code: str) -> None:
    assert asked(runner_gateway, "POST", "/v2/runner/sandboxes", opening(**changes))[1]["code"] == code
    assert leftovers(runner_gateway) == []


def test_a_tenants_key_and_one_without_the_scope_may_not(runner_gateway: Served) -> None:
    tenant = new_key(runner_gateway, owner_id="acme")
    assert asked(runner_gateway, "POST", "/v2/runner/sandboxes", opening(), key=tenant)[1]["code"] == "operator-only"
    reader = new_key(runner_gateway, scopes=["targets:read"])
    assert asked(runner_gateway, "POST", "/v2/runner/sandboxes", opening(), key=reader)[1]["code"] == "scope-missing"


async def test_a_gateway_that_refuses_or_is_not_there_is_unhealthy_and_says_why(runner_gateway: Served) -> None:
    reader = new_key(runner_gateway, scopes=["targets:read"])
    refused = RemoteRunner(
        RemoteServiceConnection.model_validate({"url": runner_gateway.url, "api_key": {"secret": "k"}}), {"k": SecretStr(reader)}
    )
    health = await refused.probe()
    assert (health.status, "refused" in health.detail) == ("unhealthy", True)
    absent = remote_runner(runner_gateway, url="http://127.0.0.1:9")
    health = await absent.probe()
    assert (health.status, "did not answer" in health.detail) == ("unhealthy", True)
    elsewhere = remote_runner(runner_gateway, target="nothere")
    with pytest.raises(TargetFailed, match="is not served"):
        await elsewhere.open(spec())
    for runner in (refused, absent, elsewhere):
        await runner.aclose()


async def test_an_archive_that_is_larger_than_a_body_may_be_is_refused_with_what_to_do(runner_gateway: Served) -> None:
    runner = remote_runner(runner_gateway)
    sandbox = await runner.open(spec())
    with pytest.raises(SandboxRefused) as refused:
        await sandbox.upload(bytes(21 * 2**20))
    assert "POINTSMAN_LIMITS__CHAT_BODY_BYTES" in refused.value.hint
    await sandbox.close()
    await runner.aclose()
