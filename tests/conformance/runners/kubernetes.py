"""The kubernetes runner for the suite, on a fake API server in a process of its own whose pods really run."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.conformance.scene import Kind, Scene

from pointsman.execution.connections import KubernetesConnection
from pointsman.execution.runners.kubernetes.runner import KubernetesRunner
from pointsman.execution.runners.local.cgroups import find_cgroups

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class FakeCluster:
    """A running server: where it is and whom it lets in."""

    url: str
    token: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        """What only the tests ask of it."""
        answer = httpx.request(method, f"{self.url}/fake/{path}", json=body, headers={"authorization": f"Bearer {self.token}"})
        answer.raise_for_status()
        return answer.json()

    def leftovers(self) -> list[str]:
        """Every job, every pod, and every cgroup of one."""
        return self.call("GET", "leftovers")


def why_not() -> str | None:
    """Why no pods can be run here."""
    if os.geteuid() != 0 or find_cgroups() is None:
        return "the fake cluster's pods need root and cgroups that bound memory"
    missing = [name for name in ("bwrap", "nsenter", "setpriv") if shutil.which(name) is None]
    return f"{missing[0]} is not installed; on Debian: apt-get install bubblewrap util-linux" if missing else None


@pytest.fixture(scope="session")
def fake_cluster() -> Iterator[FakeCluster]:
    """One for all tests of a process; its pods end with it, and it ends with whoever started it."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    token = secrets.token_hex(16)
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.conformance.runners.kube_api", token]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield FakeCluster(f"http://127.0.0.1:{int(process.stdout.readline())}", token)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


def kubernetes_runner(cluster: FakeCluster, **config: Any) -> KubernetesRunner:
    """A runner on this cluster."""
    known: dict[str, Any] = {"image": "debian:13", "server": cluster.url, "token": {"secret": "cluster"}, "namespace": "jobs"}
    return KubernetesRunner(KubernetesConnection.model_validate(known | config), {"cluster": SecretStr(cluster.token)})


@asynccontextmanager
async def _open(cluster: FakeCluster, _folder: Path) -> AsyncGenerator[Scene]:
    runner, other = kubernetes_runner(cluster), kubernetes_runner(cluster)
    try:
        yield Scene(
            runner,
            other,
            cluster.leftovers,
            bounds_processes=False,  # a pod cannot say how many; its node's kubelet does
            outlives_memory=False,
            own_variables=frozenset({"SANDBOX_ID"}),
        )
    finally:
        await runner.aclose()
        await other.aclose()


KINDS = {"kubernetes": Kind(lambda request: request.getfixturevalue("fake_cluster"), _open, system=True)}
