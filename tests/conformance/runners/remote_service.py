"""The remote_service runner for the suite, on a second gateway in a process of its own that serves its `local` target."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.conformance.runners.local import processes_that_see
from tests.conformance.scene import Kind, Scene
from tests.conftest import Cluster, run_aside
from tests.e2e.gateways import KEYRING, GatewayProcess, _started, admin_key

from pointsman.execution.connections import RemoteServiceConnection
from pointsman.execution.runners.remote_service.runner import RemoteRunner


@dataclass(frozen=True)
class Served:
    """A gateway that serves sandboxes, and its operator's key."""

    url: str
    key: str
    folder: Path


@pytest.fixture(scope="session")
def runner_gateway(cluster: Cluster, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests of a process."""
    folder = tmp_path_factory.mktemp("served")
    with cluster.database(migrated_template) as dsn:
        key = run_aside(admin_key(dsn, folder))
        variables = {
            "POINTSMAN_DATABASE__URL": dsn,
            "POINTSMAN_DATA_DIR": str(folder / "data"),
            "POINTSMAN_KEYRING__KEYS": f'["{KEYRING}"]',
            "POINTSMAN_PORT": "0",
            "POINTSMAN_RUNNER__TARGETS": '["local"]',
            "POINTSMAN_RUNNER__LEASE": "3",
        }
        process, url, log = _started(["serve"], folder, {**os.environ, **variables})
        gateway = GatewayProcess(process, url, log)
        try:
            yield Served(url, key, folder)
        finally:
            gateway.terminate()
            gateway.process.wait(30)


def remote_runner(served: Served, **config: Any) -> RemoteRunner:
    """A runner on this gateway."""
    known: dict[str, Any] = {"url": served.url, "api_key": {"secret": "served"}}
    return RemoteRunner(RemoteServiceConnection.model_validate(known | config), {"served": SecretStr(served.key)})


@asynccontextmanager
async def _open(served: Served, _folder: Path) -> AsyncGenerator[Scene]:
    runner, other = remote_runner(served), remote_runner(served)
    try:
        health = await runner.probe()
        if health.status != "healthy":
            pytest.skip(health.detail)
        yield Scene(runner, other, lambda: leftovers(served))
    finally:
        await runner.aclose()
        await other.aclose()


KINDS = {"remote-service": Kind(lambda request: request.getfixturevalue("runner_gateway"), _open)}


def leftovers(served: Served) -> list[str]:
    """Folders of sandboxes, and processes in them."""
    root = served.folder / "data" / "sandboxes"
    return [*(path.name for path in root.glob("*")), *(f"process {pid}" for pid in processes_that_see(root))]
