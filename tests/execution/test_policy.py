"""What a job may do is an intersection: nothing that anybody adds ever widens it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import SecretStr

from pointsman.execution.allowance import Allowance
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.policy import DANGERS, allow, sandbox_spec, tightened, why_not
from pointsman.execution.rows import ExecutionEngine, ExecutionTarget
from pointsman.jobs.job_spec import JobSpec
from pointsman.jobs.worker_config import WorkerConfig

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LINES = ["git push origin main", "git status", "rm -rf x", "pip install y", "make test", "terraform apply"]
CALLS = [*(("command", line) for line in LINES), ("read_file", "src/a.py"), ("write_file", "src/a.py"), ("edit_file", "README.md")]
EVERYTHING = JobSpec.model_validate(
    {"network_access": True, "max_runtime_minutes": 1440, "max_memory_mb": 1_048_576, "max_cpus": 256}
    | {f"allow_{danger}": True for danger in DANGERS}
)

globs = st.none() | st.lists(st.sampled_from(["*", "git *", "git push*", "make *", "rm *", "python*"]), max_size=3)
tools = st.none() | st.lists(st.sampled_from(["*", "command", "command(git *)", "read_file", "write_file(src/*)", "edit_file"]), max_size=3)
patterns = st.lists(st.sampled_from(["*", "command(git push*)", "write_file", "command(rm *)"]), max_size=2)
policies = st.fixed_dictionaries(
    {},
    optional={
        "dangerous": st.lists(st.sampled_from(DANGERS), max_size=4, unique=True),
        "allowed_tools": tools,
        "allowed_commands": globs,
        "deny": patterns,
        "ask": patterns,
        "max_runtime_minutes": st.floats(min_value=0.1, max_value=1000),
    },
)
connections = st.fixed_dictionaries(
    {"policy": policies},
    optional={
        "network": st.booleans(),
        "mounts": st.lists(
            st.sampled_from([{"source": "/data", "path": "/data"}, {"source": "/cache", "path": "/cache", "writable": True}]), max_size=2
        ),
        "env": st.dictionaries(st.sampled_from(["MODE", "REGION"]), st.sampled_from(["a", "b"])),
        "tenants": st.lists(st.sampled_from(["acme", "beta", "*"]), max_size=2, unique=True),
    },
)
capacities = st.fixed_dictionaries(
    {"memory_mb": st.integers(16, 100_000), "cpus": st.floats(min_value=0.1, max_value=64), "max_concurrent_jobs": st.just(4)}
)
workers = st.builds(
    lambda t, c, d, a: WorkerConfig.model_validate({"allowed_tools": t, "allowed_commands": c, "permissions": {"deny": d, "ask": a}}),
    tools, globs, patterns, patterns,
)  # fmt: skip
specs = st.fixed_dictionaries(
    {},
    optional={
        "network_access": st.booleans(),
        "max_runtime_minutes": st.floats(min_value=0.1, max_value=1440),
        "max_memory_mb": st.integers(16, 1_048_576),
        "max_cpus": st.floats(min_value=0.1, max_value=256),
        "allowed_tools": tools,
        "allowed_commands": globs,
        **{f"allow_{danger}": st.booleans() for danger in DANGERS},
    },
).map(JobSpec.model_validate)
tenants = st.sampled_from(["", "acme", "beta", "gamma"])


def target_of(connection: dict[str, Any], capacity: dict[str, Any] | None = None) -> ExecutionTarget:
    config = {"image": "x", **connection}
    return ExecutionTarget("box", "Box", "docker", config, capacity or {}, "linux_worker_pool", NOW, NOW, is_active=True)


def engine_of(policy: dict[str, Any]) -> ExecutionEngine:
    return ExecutionEngine("e", "E", "direct_ops", "anthropic", {"policy": policy}, None, False, NOW, NOW, is_active=True)


def allowed(target: ExecutionTarget, engine: ExecutionEngine, worker: WorkerConfig, spec: JobSpec, tenant: str) -> Allowance:
    """With what would be refused left out by hypothesis."""
    try:
        return allow(target, engine, worker, spec, tenant=tenant)
    except SandboxRefused:
        assume(False)
        raise


def assert_within(small: Allowance, large: Allowance) -> None:
    """Everything that `small` may do, `large` may too."""
    assert small.memory_mb <= large.memory_mb
    assert small.cpus <= large.cpus
    assert small.runtime_minutes <= large.runtime_minutes
    assert small.network <= large.network
    assert small.dangers <= large.dangers
    assert set(small.mounts) <= set(large.mounts)
    assert dict(small.env).items() <= dict(large.env).items()
    assert set(large.deny) <= set(small.deny)
    for tool, argument in CALLS:
        assert large.why_not(tool, argument) == "" or small.why_not(tool, argument) != "", (tool, argument)
        assert large.why_dangerous(argument) == "" or small.why_dangerous(argument) != "", argument


@given(connections, capacities, policies, workers, specs, tenants)
def test_no_request_gets_more_than_one_that_asks_for_everything(
    connection: dict[str, Any], capacity: dict[str, Any], policy: dict[str, Any], worker: WorkerConfig, spec: JobSpec, tenant: str
) -> None:
    target, engine = target_of(connection, capacity), engine_of(policy)
    everything = EVERYTHING.model_copy(update={"network_access": bool(connection.get("network"))})
    assert_within(allowed(target, engine, worker, spec, tenant), allowed(target, engine, worker, everything, tenant))


@given(connections, capacities, policies, workers, specs, tenants)
def test_neither_an_engine_nor_an_agent_widens_what_the_target_allows(
    connection: dict[str, Any], capacity: dict[str, Any], policy: dict[str, Any], worker: WorkerConfig, spec: JobSpec, tenant: str
) -> None:
    target = target_of(connection, capacity)
    both = allowed(target, engine_of(policy), worker, spec, tenant)
    assert_within(both, allowed(target, engine_of({}), worker, spec, tenant))
    assert_within(both, allowed(target, engine_of(policy), WorkerConfig(), spec, tenant))


@given(connections, policies, policies, workers, specs)
def test_a_policy_of_the_target_only_takes_away(
    connection: dict[str, Any], policy: dict[str, Any], engine: dict[str, Any], worker: WorkerConfig, spec: JobSpec
) -> None:
    plain, with_policy = target_of(connection | {"policy": {}}), target_of(connection | {"policy": policy})
    assert_within(allowed(with_policy, engine_of(engine), worker, spec, ""), allowed(plain, engine_of(engine), worker, spec, ""))


@given(connections, capacities, policies, workers, specs, tenants)
def test_network_mounts_and_variables_are_the_targets(
    connection: dict[str, Any], capacity: dict[str, Any], policy: dict[str, Any], worker: WorkerConfig, spec: JobSpec, tenant: str
) -> None:
    got = sandbox_spec(allowed(target_of(connection, capacity), engine_of(policy), worker, spec, tenant), "pm-1-1", 64, {})
    assert got.network <= bool(connection.get("network"))
    assert [(mount.source, mount.path) for mount in got.mounts] == [(one["source"], one["path"]) for one in connection.get("mounts", [])]
    assert {name: value for name, value in got.env.items() if name not in {"LANG", "PYTHONDONTWRITEBYTECODE"}} == connection.get("env", {})
    assert got.memory_mb <= capacity["memory_mb"]
    assert got.cpus <= capacity["cpus"]


@given(workers, patterns, patterns)
def test_what_operators_deny_or_want_to_be_asked_for_joins_what_the_agent_says(
    worker: WorkerConfig, deny: list[str], ask: list[str]
) -> None:
    allowance = allow(target_of({"policy": {"deny": deny}}), engine_of({"ask": ask}), worker, JobSpec(), tenant="")
    merged = tightened(worker, allowance).permissions
    assert set(merged.deny) == {*worker.permissions.deny, *deny}
    assert set(merged.ask) == {*worker.permissions.ask, *ask}
    assert merged.allow == worker.permissions.allow


@pytest.mark.parametrize(
    ("connection", "spec", "tenant", "why"),
    [
        ({}, {"network_access": True}, "", "The job asks for network access, which the target box does not grant."),
        ({}, {}, "acme", "The target box is not there for the tenant acme."),
        ({"tenants": ["beta"]}, {}, "acme", "The target box is not there for the tenant acme."),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(connection: dict[str, Any], spec: dict[str, Any], tenant: str, why: str) -> None:
    with pytest.raises(SandboxRefused, match=why):
        allow(target_of(connection), engine_of({}), WorkerConfig(), JobSpec.model_validate(spec), tenant=tenant)


def test_who_is_listed_may_use_a_target_and_the_operator_always_may() -> None:
    for listed, tenant in ((["acme"], "acme"), (["*"], "acme"), ([], "")):
        assert why_not(target_of({"tenants": listed}), tenant, JobSpec()) == ""


def test_more_memory_than_a_target_grants_is_refused_before_anything_begins() -> None:
    assert "grants 4096 MB" in why_not(target_of({}), "", JobSpec(), 5000)
    assert why_not(target_of({}), "", JobSpec(), 4096) == ""


def test_a_secret_of_the_target_is_put_into_the_environment_by_its_name() -> None:
    allowance = allow(target_of({"env": {"TOKEN": {"secret": "Build"}}}), engine_of({}), WorkerConfig(), JobSpec(), tenant="")
    assert "hunter" not in repr(allowance)
    assert sandbox_spec(allowance, "pm-1-1", 64, {"build": SecretStr("hunter22")}).env["TOKEN"] == "hunter22"
    with pytest.raises(TargetFailed, match="'Build'"):
        sandbox_spec(allowance, "pm-1-1", 64, {})
