"""The stage: the fake upstream, the floor, one gateway process with its database, and the load generator."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.upstream import Upstream, start_upstream

from benchmarks.driver import Driver, start_driver
from benchmarks.processes import ROOT, free_port, started, wait_until_answers
from benchmarks.targets import Gateway, Target

RATE_LIMIT = 100_000_000
AGENTS = {"bench": "openai:gpt-4o-mini", "claude": "anthropic:claude-sonnet-4-5", "gemini": "google:gemini-2.5-flash"}
_SCOPES = ["agents:run", "agents:read", "prompts:read", "prompts:write"]


@dataclass
class Stage:
    """Everything a row needs."""

    options: argparse.Namespace
    folder: Path
    upstream: Upstream
    driver: Driver
    floor: Target
    gateway: Gateway
    peers: list[Target] = field(default_factory=list[Target])
    notes: list[str] = field(default_factory=list[str])

    @property
    def sides(self) -> list[Target]:
        return [self.floor, self.gateway, *self.peers]


@contextmanager
def set_up(options: argparse.Namespace) -> Generator[Stage]:
    """Start all of it, and stop it when the block ends."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pointsman-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        upstream = stack.enter_context(start_upstream(ledger=False))
        driver = stack.enter_context(start_driver())
        floor = stack.enter_context(start_floor(upstream, folder))
        gateway = stack.enter_context(start_gateway(upstream, folder, folder / "data"))
        stage = Stage(options, folder, upstream, driver, floor, gateway)
        stage.notes += prepare(gateway)
        yield stage


@contextmanager
def start_floor(upstream: Upstream, folder: Path) -> Generator[Target]:
    """The pass-through proxy, on the HTTP server that the gateway uses."""
    port, log = free_port(), folder / "floor.log"
    argv = [sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    with started(argv, {"FLOOR_UPSTREAM": upstream.openai_url}, log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/", process, log)
        yield Target("floor", port, process.pid)


@contextmanager
def start_gateway(upstream: Upstream, folder: Path, directory: Path) -> Generator[Gateway]:
    """`pointsman up`, one process, with its models at the fake upstream."""
    port, log = free_port(), folder / f"{directory.name}.log"
    argv = [sys.executable, "-m", "pointsman", "up", "--data-dir", str(directory), "--port", str(port)]
    with started(argv, environment(upstream), log) as process:
        wait_until_answers(f"http://127.0.0.1:{port}/readyz", process, log)
        key = (directory / "admin-key").read_text().strip()
        postmaster = int((directory / "pg" / "data" / "postmaster.pid").read_text().split()[0])
        yield Gateway("pointsman", port, process.pid, key=key, admin_key=key, directory=directory, database_pid=postmaster)


def environment(upstream: Upstream) -> dict[str, str]:
    """The gateway's variables."""
    addresses = {"OPENAI": upstream.openai_url, "ANTHROPIC": upstream.anthropic_url, "GOOGLE": upstream.google_url}
    models = {f"{name}_BASE_URL": url for name, url in addresses.items()} | {f"{name}_API_KEY": "fake-key" for name in addresses}
    return {**models, "POINTSMAN_LOG__LEVEL": "warning"}


def prepare(gateway: Gateway) -> list[str]:
    """Make the agents, and the limited key that the gateway is asked with from then on. Returns notes for the report."""
    for name, model in AGENTS.items():
        call(gateway, "POST", "/v2/agents", agent(name, model))
    tools = {"tools": [{"type": "builtin", "name": "current_time"}]}
    call(gateway, "POST", "/v2/agents", agent("tools", AGENTS["bench"], tools))
    key = call(gateway, "POST", "/v2/keys", {"name": "bench", "scopes": _SCOPES, "rate_limit": RATE_LIMIT})
    gateway.key = key["api_key"]
    budget = {"subject_type": "key", "subject_id": str(key["id"]), "unit": "tokens", "period": "month", "amount": 1_000_000_000_000}
    try:
        call(gateway, "POST", "/v2/budgets", budget)
    except urllib.error.HTTPError as error:
        if error.code not in {404, 405}:
            raise
        return ["Budget: not in this build, so that the key has a limit and no budget."]
    return ["The key has an hourly limit and a monthly budget of tokens, both far away."]


def agent(name: str, model: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body that creates an agent."""
    return {"id": name, "name": name, "template": "You are a benchmark.", "config": {"model": model, **(config or {})}}


def call(gateway: Gateway, method: str, path: str, body: Mapping[str, Any]) -> Any:
    """One call with the admin key. Raises HTTPError with the problem's text."""
    headers = {"Authorization": f"Bearer {gateway.admin_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}{path}", json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.msg = f"{method} {path}: {error.read().decode(errors='replace')}"
        raise


__all__ = ["ROOT", "Stage", "set_up"]
