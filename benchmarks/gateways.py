"""Gateways under measurement: one process each, with every duty on."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.upstream import Upstream

from benchmarks.processes import free_port, started, wait_until_answers
from benchmarks.targets import Gateway
from pointsman.kit.embedded_pg import find_dsn

RATE_LIMIT = 100_000_000
MODEL = "openai:gpt-4o-mini"
PROVIDERS = ("OPENAI", "ANTHROPIC", "GOOGLE")
_SCOPES = ["agents:run", "agents:read", "prompts:read", "prompts:write"]
AGENTS: dict[str, dict[str, Any]] = {
    "bench": {},
    "tools": {"tools": [{"type": "builtin", "name": "current_time"}]},
    "claude": {"model": "anthropic:claude-sonnet-4-5"},
    "gemini": {"model": "google:gemini-2.5-flash"},
}


@contextmanager
def start_gateway(
    upstream: Upstream,
    folder: Path,
    directory: Path,
    *,
    providers: Iterable[str] = PROVIDERS,
    name: str = "pointsman",
    settings: Mapping[str, str] | None = None,
) -> Generator[Gateway]:
    """`pointsman up` in a data directory, with its models at the fake upstream, and further settings."""
    port, log = free_port(), folder / f"{directory.name}.log"
    argv = [sys.executable, "-m", "pointsman", "up", "--data-dir", str(directory), "--port", str(port), "--workers", "0"]
    with started(argv, {**_environment(upstream, providers), **(settings or {})}, log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/readyz", process, log)
        key = (directory / "admin-key").read_text().strip()
        postmaster = int((directory / "pg" / "data" / "postmaster.pid").read_text().split()[0])
        yield Gateway(name, [port], [process.pid], key, postmaster, admin_key=key, directory=directory)


@contextmanager
def start_replica(upstream: Upstream, folder: Path, first: Gateway) -> Generator[Gateway]:
    """`pointsman serve` on the database of another gateway; both of them as one target."""
    port, log = free_port(), folder / "replica.log"
    ring = (first.directory / "keyring").read_text().split()
    shared = {"POINTSMAN_DATABASE__URL": find_dsn(first.directory) or "", "POINTSMAN_KEYRING__KEYS": json.dumps(ring)}
    argv = [sys.executable, "-m", "pointsman", "serve", "--data-dir", str(folder / "replica"), "--port", str(port)]
    with started(argv, {**_environment(upstream, PROVIDERS), **shared}, log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/readyz", process, log)
        yield Gateway("2 processes", [*first.ports, port], [*first.pids, process.pid], first.key, first.database_pid)


def _environment(upstream: Upstream, providers: Iterable[str]) -> dict[str, str]:
    addresses = {"OPENAI": upstream.openai_url, "ANTHROPIC": upstream.anthropic_url, "GOOGLE": upstream.google_url}
    models = {f"{name}_BASE_URL": addresses[name] for name in providers} | {f"{name}_API_KEY": "fake-key" for name in providers}
    return {**models, "POINTSMAN_LOG__LEVEL": "warning"}


def prepare(gateway: Gateway, *, agents: Iterable[str] = AGENTS) -> None:
    """Make these agents, and the key with a limit and a budget that the gateway is asked with from then on."""
    for name in agents:
        call(gateway, "/v2/agents", agent(name, AGENTS[name]))
    key = call(gateway, "/v2/keys", limited_key("bench"))
    gateway.key = key["api_key"]
    budget = {"subject_type": "key", "subject_id": str(key["id"]), "unit": "tokens", "period": "month", "amount": 1_000_000_000_000}
    gateway.budget = call(gateway, "/v2/budgets", budget)["id"]


def spent(gateway: Gateway) -> str:
    """A sentence that shows that the limits did count."""
    budget = call(gateway, f"/v2/budgets/{gateway.budget}")
    return (
        f"the key has a limit of {RATE_LIMIT:,} requests an hour and a budget of {budget['amount']:,} tokens a month,"
        f" which counted {budget['spent']:,} tokens"
    )


def agent(name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body that makes an agent."""
    return {"id": name, "name": name, "template": "You are a benchmark.", "config": {"model": MODEL, **(config or {})}}


def limited_key(name: str) -> dict[str, Any]:
    """The body that makes a key with an hourly limit."""
    return {"name": name, "scopes": _SCOPES, "rate_limit": RATE_LIMIT}


def call(gateway: Gateway, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """One GET, or with a body one POST, with the admin key. Raises HTTPError with the problem's text."""
    headers = {"Authorization": f"Bearer {gateway.admin_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.ports[0]}{path}", json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.msg = f"{path}: {error.read().decode(errors='replace')}"
        raise
