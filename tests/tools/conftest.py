"""MCP servers in processes of their own, and a gateway that may reach them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import Cluster, run_aside
from tests.e2e.calling import Caller, unique
from tests.e2e.conftest import running_upstream, start, upstream
from tests.e2e.gateways import KEYRING, admin_key, serving_from_a_thread
from tests.tools.mcp_scene import McpScene, Server, environment_of_python

from pointsman.settings import EgressSettings, KeyRingSettings, McpSettings, StdioServerSettings

__all__ = ["running_upstream", "start", "upstream"]

PROGRAM = Path(__file__).with_name("mcp_server.py")
SECRET = "s3cr3t-of-the-operator"
OF_THE_PROGRAM = "s3cr3t-of-the-program"


@dataclass
class Servers:
    """Starts servers; all are gone afterwards."""

    folder: Path
    running: list[subprocess.Popen[bytes]]

    def start(self, flavour: str = "", *, port: int | None = None) -> Server:
        """One over HTTP, once it answers."""
        server = Server(port or _free_port(), self.folder / f"{unique('log')}.txt")
        server.log.touch()
        argv = [sys.executable, str(PROGRAM), "http", str(server.port), str(server.log), *([flavour] if flavour else [])]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.running.append(process)
        server.process = process
        _until(lambda: _answers(server.url))
        return server

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def servers(tmp_path: Path) -> Generator[Servers]:
    servers = Servers(tmp_path, [])
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def usual_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """One that nobody changes or stops."""
    servers = Servers(tmp_path_factory.mktemp("mcp-server"), [])
    try:
        yield servers.start()
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def mcp_scene(cluster: Cluster, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[McpScene]:
    folder = tmp_path_factory.mktemp("mcp")
    with cluster.database(migrated_template) as dsn:
        admin = run_aside(admin_key(dsn, folder))
        with serving_from_a_thread(dsn, _settings(folder)) as url:
            yield McpScene(dsn, url, admin, folder / "data" / "mcp")


@pytest.fixture
async def operator(mcp_scene: McpScene) -> AsyncGenerator[Caller]:
    operator = Caller(mcp_scene.url, mcp_scene.admin)
    yield operator
    await operator.aclose()


def _settings(folder: Path) -> dict[str, Any]:
    path, folders = environment_of_python()
    files = StdioServerSettings(
        command=sys.executable,
        args=(str(PROGRAM), "stdio", "/tmp/log.txt"),
        env={"PYTHONPATH": path, "API_KEY": OF_THE_PROGRAM},  # pyright: ignore[reportArgumentType] - as the environment has them
        folders=(*folders, str(PROGRAM.parent)),
        description="Files of nobody.",
    )
    broken = StdioServerSettings(command="/no/such/program")
    return {
        "data_dir": folder / "data",
        "port": 0,
        "keyring": KeyRingSettings.model_validate({"keys": [KEYRING]}),
        "egress": EgressSettings(allow=("127.0.0.1",)),
        "secrets": {"crm": SECRET},
        "mcp": McpSettings(idle=timedelta(seconds=2), result_bytes=1000, answer_bytes=100_000, stdio={"files": files, "broken": broken}),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        httpx.get(url, timeout=1)
        return True
    return False


def _until(condition: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
