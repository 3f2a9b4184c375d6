"""Targets as data, over HTTP: what their configs may say, that none holds a secret, and what tenants are told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.execution.test_engines import TENANT, told
from tests.prompts.catalogue_app import CALLER, at_once

from pointsman.execution.defaults import host_capacity, make_defaults
from pointsman.execution.errors import OperatorOnly
from pointsman.execution.schemas import TargetCreate, TargetPatch, TargetRead
from pointsman.execution.service import TargetService
from pointsman.kit.db import Connection, Database

CLUSTER: dict[str, Any] = {"image": "debian:13", "server": "https://10.0.0.1:6443", "token": {"secret": "cluster"}}
DOCKER: dict[str, Any] = {"id": "box", "name": "Box", "type": "docker", "connection_config": {"image": "debian:13"}}
SSH: dict[str, Any] = {
    "host": "build.internal",
    "user": "worker",
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ",
    "private_key": {"secret": "build_key"},
}


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/v2/targets", json={**DOCKER, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_target_is_read_back_with_its_defaults(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v2/targets", json=DOCKER)
    assert answer.headers["location"] == "/v2/targets/box"
    target = answer.json()
    assert target["capacity"] == {"max_concurrent_jobs": 4, "memory_mb": 4096, "cpus": 2.0}
    config = target["connection_config"]
    assert (config["network"], config["tenants"], config["mounts"]) == (False, [], [])
    assert (target["worker_pool"], target["is_active"]) == ("linux_worker_pool", True)
    assert (await api.get("/v2/targets/box")).json() == target


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("local", {}),
        ("kubernetes", {**CLUSTER, "namespace": "jobs", "tolerations": [{"key": "jobs", "operator": "Exists"}]}),
        ("kubernetes", {"image": "debian:13", "kubeconfig": {"secret": "kubeconfig"}, "context": "prod"}),
        ("kubernetes", {"image": "debian:13", "in_cluster": True, "network_policy": "external"}),
        ("ssh", SSH),
        ("remote_service", {"url": "https://other.example", "api_key": {"secret": "other"}}),
        ("managed_agents", {"url": "https://agents.example/v1", "headers": {"X-Team": "a", "Authorization": {"secret": "agents"}}}),
    ],
)
async def test_every_type_keeps_what_it_was_given(api: httpx.AsyncClient, kind: str, config: dict[str, Any]) -> None:
    kept = (await made(api, id=kind, type=kind, connection_config=config))["connection_config"]
    assert {name: kept[name] for name in config} == config


@pytest.mark.parametrize(
    ("kind", "config", "pointer"),
    [
        ("docker", {}, "/connection_config/image"),
        ("docker", {"image": "x", "user": "0:0"}, "/connection_config/user"),
        ("docker", {"image": "x", "env": {"POINTSMAN_API_KEY": "x"}}, "/connection_config/env"),
        ("docker", {"image": "x", "env": {"A B": "x"}}, "/connection_config/env"),
        ("docker", {"image": "x", "mounts": [{"source": "/a/../etc", "path": "/b"}]}, "/connection_config/mounts/0/source"),
        ("kubernetes", {"image": "x"}, "/connection_config"),
        ("kubernetes", {**CLUSTER, "in_cluster": True}, "/connection_config"),
        ("kubernetes", {"image": "x", "server": "https://10.0.0.1:6443"}, "/connection_config"),
        ("kubernetes", {"image": "x", "in_cluster": True, "context": "prod"}, "/connection_config"),
        ("kubernetes", {**CLUSTER, "server": "http://10.0.0.1:8080"}, "/connection_config/server"),
        ("kubernetes", {**CLUSTER, "token": "eyJhbGciOi"}, "/connection_config/token"),
        ("kubernetes", {**CLUSTER, "ca": "/etc/ca.crt"}, "/connection_config/ca"),
        ("kubernetes", {**CLUSTER, "user": 0}, "/connection_config/user"),
        ("kubernetes", {**CLUSTER, "namespace": "My Jobs"}, "/connection_config/namespace"),
        ("kubernetes", {**CLUSTER, "mounts": [{"source": "/data", "path": "/data"}]}, "/connection_config/mounts"),
        ("ssh", {**SSH, "port": 0}, "/connection_config/port"),
        ("ssh", {**SSH, "host": "-oProxyCommand=x"}, "/connection_config/host"),
        ("ssh", {name: value for name, value in SSH.items() if name != "host_key"}, "/connection_config/host_key"),
        ("remote_service", {"url": "ftp://x", "api_key": {"secret": "x"}}, "/connection_config/url"),
        ("local", {"isolation": "nones"}, "/connection_config/isolation"),
    ],
)
async def test_a_wrong_config_is_told_where(api: httpx.AsyncClient, kind: str, config: dict[str, Any], pointer: str) -> None:
    answer = await api.post("/v2/targets", json={**DOCKER, "type": kind, "connection_config": config})
    assert [where for where, _ in told(answer, 422, "invalid-request")] == [pointer]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("ssh", {**SSH, "private_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nQUFB\n-----END OPENSSH PRIVATE KEY-----"}),
        ("ssh", {**SSH, "passphrase": "correct horse"}),
        ("remote_service", {"url": "https://x.example", "api_key": "pm_0123456789abcdefghijklmnop"}),
        ("remote_service", {"url": "https://me:hunter22@x.example", "api_key": {"secret": "x"}}),
        ("managed_agents", {"url": "https://x.example", "headers": {"Authorization": "Bearer abcdefghijkl"}}),
        ("managed_agents", {"url": "https://x.example", "headers": {"X-Api-Key": "abc"}}),
        ("docker", {"image": "x", "env": {"DB_PASSWORD": "hunter22"}}),
        ("docker", {"image": "x", "env": {"WHERE": "postgres://me:hunter22@db/x"}}),
    ],
)
async def test_an_inline_secret_is_refused_and_not_repeated(
    api: httpx.AsyncClient, owner: Connection, kind: str, config: dict[str, Any]
) -> None:
    answer = await api.post("/v2/targets", json={**DOCKER, "type": kind, "connection_config": config})
    assert answer.status_code == 422, answer.text
    assert not [part for part in ("hunter22", "abcdefghijkl", "correct horse", "QUFB", "pm_0123") if part in answer.text]
    assert await owner.fetchval("SELECT count(*) FROM execution_targets") == 0


async def test_a_merge_patch_reaches_into_both_configs(api: httpx.AsyncClient) -> None:
    await made(api, connection_config={"image": "debian:13", "network": True, "env": {"A": "1", "B": "2"}})
    patch = {"connection_config": {"network": None, "env": {"A": None}}, "capacity": {"max_concurrent_jobs": 0}, "worker_pool": "gpu"}
    changed = (await api.patch("/v2/targets/box", json=patch)).json()
    assert (changed["connection_config"]["network"], changed["connection_config"]["env"]) == (False, {"B": "2"})
    assert (changed["capacity"]["max_concurrent_jobs"], changed["capacity"]["memory_mb"], changed["worker_pool"]) == (0, 4096, "gpu")
    answer = await api.patch("/v2/targets/box", json={"capacity": {"max_jobs": 3}})
    assert told(answer, 422, "invalid-request")[0][0] == "/capacity/max_jobs"
    assert (await api.get("/v2/targets/box")).json() == changed


async def test_a_deleted_target_comes_back_as_it_is_then_described(api: httpx.AsyncClient, owner: Connection) -> None:
    await made(api)
    told(await api.post("/v2/targets", json=DOCKER), 409, "target-exists")
    for _ in range(2):
        assert (await api.delete("/v2/targets/box")).status_code == 204
    told(await api.get("/v2/targets/box/health"), 404, "target-not-found")
    assert (await made(api, type="local", connection_config={}))["type"] == "local"
    actions = [row["action"] for row in await owner.fetch("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["target.created", "target.deleted", "target.restored"]


async def test_of_many_that_make_the_same_id_one_wins(targets: TargetService) -> None:
    body = TargetCreate.model_validate(DOCKER)
    outcomes = await at_once(*(lambda: targets.create_target(CALLER, body) for _ in range(6)))
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_health_is_what_the_probe_saw(api: httpx.AsyncClient) -> None:
    await made(api)
    answer = (await api.get("/v2/targets/box/health")).json()
    assert answer == {"status": "healthy", "latency_ms": 1.2, "detail": "asked box", "isolation": "namespaces"}


async def test_a_tenant_sees_what_its_jobs_may_have_and_not_how_a_target_is_reached(targets: TargetService) -> None:
    target = await targets.create_target(CALLER, TargetCreate.model_validate({**DOCKER, "type": "ssh", "connection_config": SSH}))
    assert set(TargetRead.of(target, TENANT).connection_config) <= {"isolation", "network", "policy"}
    page = await targets.list_targets(TENANT)
    assert "build.internal" not in page.model_dump_json()
    assert "build.internal" in (await targets.list_targets(CALLER)).model_dump_json()
    with pytest.raises(OperatorOnly):
        await targets.create_target(TENANT, TargetCreate.model_validate(DOCKER))
    with pytest.raises(OperatorOnly):
        await targets.update_target(TENANT, "box", TargetPatch(name="Mine"))
    with pytest.raises(OperatorOnly):
        await targets.delete_target(TENANT, "box")


async def test_out_of_the_box_there_are_a_target_and_two_engines(api: httpx.AsyncClient, db: Database) -> None:
    await at_once(*(lambda: make_defaults(db) for _ in range(5)))
    local = (await api.get("/v2/targets/local")).json()
    assert local["capacity"] == json.loads(host_capacity().model_dump_json())
    assert local["connection_config"]["tenants"] == ["*"]
    found = {engine["id"]: engine["is_default"] for engine in (await api.get("/v2/engines")).json()["items"]}
    assert found == {"code_agent": False, "direct_ops": True}


async def test_what_an_operator_changed_or_deleted_stays_so_at_the_next_start(api: httpx.AsyncClient, db: Database) -> None:
    await make_defaults(db)
    await api.patch("/v2/targets/local", json={"capacity": {"max_concurrent_jobs": 1}})
    await api.patch("/v2/engines/code_agent", json={"is_default": True})
    await api.delete("/v2/engines/direct_ops")
    await make_defaults(db)
    assert (await api.get("/v2/targets/local")).json()["capacity"]["max_concurrent_jobs"] == 1
    assert [engine["id"] for engine in (await api.get("/v2/engines")).json()["items"]] == ["code_agent"]
