"""The kubernetes runner on a fake API server: what a cluster refuses, loses or ends under it, told as the target's failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.conformance.runners.kubernetes import FakeCluster, kubernetes_runner
from tests.conformance.scene import run, spec

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.runners.kubernetes.runner import KubernetesRunner

pytestmark = pytest.mark.system


@pytest.fixture
async def cluster(fake_cluster: FakeCluster) -> AsyncGenerator[FakeCluster]:
    """As new, and with nothing left afterwards."""
    fake_cluster.call("PUT", "faults")
    yield fake_cluster
    fake_cluster.call("PUT", "faults")
    assert fake_cluster.leftovers() == []


async def refused(cluster: FakeCluster, **config: Any) -> str:
    """What opening a sandbox fails with."""
    runner = kubernetes_runner(cluster, **config)
    try:
        with pytest.raises(TargetFailed) as failed:
            await runner.open(spec())
        return f"{failed.value.detail} {failed.value.hint}"
    finally:
        await runner.aclose()


@pytest.mark.parametrize(
    ("status", "message"),
    [(403, "exceeded quota: jobs"), (409, "already exists"), (429, "too many requests"), (500, "etcdserver: leader changed")],
)
async def test_what_the_api_server_refuses_is_told_in_its_words(cluster: FakeCluster, status: int, message: str) -> None:
    cluster.call("PUT", "faults", calls=[{"call": "POST /apis/batch", "status": status, "message": message, "times": 1}])
    said = await refused(cluster)
    assert message in said
    assert f"({status})" in said


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("missing.example/image", "ImagePullBackOff"),
        ("broken.example/image", "CreateContainerError"),
        ("quota.example/image", "exceeded quota"),
    ],
)
async def test_a_pod_that_will_never_run_is_not_waited_for(cluster: FakeCluster, image: str, reason: str) -> None:
    assert reason in await refused(cluster, image=image)


async def test_a_pod_without_a_node_is_waited_for_as_long_as_the_operator_says(cluster: FakeCluster) -> None:
    said = await refused(cluster, image="unschedulable.example/image", start_seconds=5)
    assert "did not run within 5 s" in said
    assert "Unschedulable" in said


@pytest.mark.parametrize(("what", "reason"), [("evict", "Evicted"), ("crash", "ended with 137"), ("lose", "NodeLost")])
async def test_a_pod_that_ends_under_a_command_is_the_targets_failure_and_never_memory(
    cluster: FakeCluster, what: str, reason: str
) -> None:
    runner = kubernetes_runner(cluster)
    sandbox = await runner.open(spec())
    heard = asyncio.Event()
    try:
        running = asyncio.create_task(sandbox.exec(["sh", "-c", "echo on; sleep 60"], on_output=lambda _stream, _data: heard.set()))
        await asyncio.wait_for(heard.wait(), 20)
        await asyncio.to_thread(cluster.call, "POST", f"pods/{sandbox.handle}/{what}")
        with pytest.raises(TargetFailed) as failed:
            await asyncio.wait_for(running, 30)
        assert reason in failed.value.detail
    finally:
        await sandbox.close()
        await runner.aclose()


async def test_a_connection_that_breaks_ends_the_command_and_fails_the_attempt(cluster: FakeCluster) -> None:
    runner = kubernetes_runner(cluster)
    sandbox = await runner.open(spec())
    try:
        cluster.call("PUT", "faults", cut_after=1)
        with pytest.raises(TargetFailed):
            await run(sandbox, "sh", "-c", "echo begun > begun; echo x; sleep 1; echo done > done")
        await asyncio.sleep(1.2)
        assert (await run(sandbox, "ls")).stdout == b"begun\n"
    finally:
        await sandbox.close()
        await runner.aclose()


async def test_without_a_network_policy_only_jobs_that_may_use_the_network_are_taken(cluster: FakeCluster) -> None:
    cluster.call("PUT", "faults", policies=[])
    required, external = kubernetes_runner(cluster), kubernetes_runner(cluster, network_policy="external")
    health = await required.probe()
    assert health.status == "unhealthy"
    assert "network" in health.detail
    assert (await external.probe()).status == "healthy"
    with pytest.raises(SandboxRefused):
        await required.open(spec())
    for runner, network in ((required, True), (external, False)):
        sandbox = await runner.open(spec(network=network))
        await sandbox.close()
        await runner.aclose()


@pytest.mark.parametrize("right", ["create jobs", "create pods/exec"])
async def test_health_says_which_right_is_missing(cluster: FakeCluster, right: str) -> None:
    cluster.call("PUT", "faults", denied=[right])
    runner = kubernetes_runner(cluster)
    health = await runner.probe()
    await runner.aclose()
    assert health.status == "unhealthy"
    assert f"may not {right}" in health.detail


async def test_a_wrong_token_and_a_server_that_is_not_there_are_unhealthy(cluster: FakeCluster) -> None:
    known = {"image": "debian:13", "token": {"secret": "cluster"}, "namespace": "jobs"}
    for server, secrets, said in (
        (cluster.url, {"cluster": SecretStr("wrong")}, "(401)"),
        (cluster.url, {}, "POINTSMAN_SECRETS__CLUSTER"),
        ("http://127.0.0.1:9", {"cluster": SecretStr("x")}, "127.0.0.1:9"),
    ):
        runner = KubernetesRunner(KubernetesConnection.model_validate({**known, "server": server}), secrets)
        health = await runner.probe()
        await runner.aclose()
        assert health.status == "unhealthy"
        assert said in health.detail


async def test_a_cluster_that_is_busy_keeps_what_is_left_for_the_next_look(cluster: FakeCluster) -> None:
    runner = kubernetes_runner(cluster)
    sandbox = await runner.open(spec())
    cluster.call("PUT", "faults", calls=[{"call": "DELETE", "status": 429, "message": "too many requests", "times": 1}])
    with pytest.raises(TargetFailed):
        await sandbox.close()
    assert await runner.list_handles() == [sandbox.handle]
    began = time.monotonic()
    await runner.reap(sandbox.handle)
    assert time.monotonic() - began < 2
    await runner.aclose()


KUBECONFIG = """
current-context: prod
contexts: [{name: prod, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: %s}]
"""


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("{exec: {command: /bin/touch, args: [/tmp/planted-by-kubeconfig]}}", "`exec`"),
        ("{auth-provider: {name: gcp}}", "`auth-provider`"),
        ("{tokenFile: /etc/passwd}", "`tokenFile`"),
        ("{client-key: /etc/passwd}", "`client-key`"),
        ("{client-key-data: '***'}", "not in base64"),
        ("{token: abc}", "127.0.0.1:9"),
    ],
)
async def test_a_kubeconfig_runs_no_program_and_reads_no_file(user: str, said: str) -> None:
    connection = KubernetesConnection.model_validate({"image": "x", "kubeconfig": {"secret": "kubeconfig"}})
    runner = KubernetesRunner(connection, {"kubeconfig": SecretStr(KUBECONFIG % user)})
    health = await runner.probe()
    await runner.aclose()
    assert health.status == "unhealthy"
    assert said in health.detail


async def test_outside_of_a_cluster_in_cluster_says_so() -> None:
    runner = KubernetesRunner(KubernetesConnection.model_validate({"image": "x", "in_cluster": True}), {})
    assert "runs in no pod" in (await runner.probe()).detail
    await runner.aclose()
