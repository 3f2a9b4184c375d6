"""Gateways on embedded servers, with nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.embedded_pg.embedded_pg_scene import Gateway, Launch, eventually, is_alive, postmasters, python_for_everybody

from pointsman.kit.embedded_pg import EmbeddedPostgres


@pytest.fixture
def user_python() -> str:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv, to become another user")
    python = python_for_everybody()
    if python is None:
        pytest.skip("no Python >= 3.11 on this machine can be run, with this checkout, by a normal user")
    return python


@pytest.fixture
def open_dir() -> Generator[Path]:
    """A directory that everybody can pass through, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="pm-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def new_dir(open_dir: Path) -> Path:
    """A data directory that does not exist yet."""
    return open_dir / "data"


@pytest.fixture
def data_dir(open_dir: Path, made_dir: Path) -> Path:
    """A data directory with a cluster: a copy, which is quicker than a new one."""
    subprocess.run(["cp", "-a", str(made_dir), str(open_dir / "data")], check=True)
    return open_dir / "data"


@pytest.fixture(scope="session")
def made_dir() -> Generator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pm-test-made-", dir="/tmp"))
    postgres = EmbeddedPostgres(path, extra_options={"fsync": "off"})
    postgres.start()
    postgres.stop()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def launch() -> Generator[Launch]:
    gateways: list[Gateway] = []

    def launched(data_dir: Path, *, prefix: list[str] | None = None, python: str = sys.executable, **options: str) -> Gateway:
        gateway = Gateway(data_dir, {"fsync": "off", "shared_buffers": "16MB", **options}, prefix or [], python)
        gateways.append(gateway)
        return gateway

    yield launched
    for gateway in gateways:
        servers = postmasters(gateway.data_dir)
        gateway.close()
        for pid in servers:
            if is_alive(pid):
                os.kill(pid, signal.SIGQUIT)
                eventually(lambda pid=pid: not is_alive(pid))
        if gateway.socket_directory.name.startswith("pm-"):
            shutil.rmtree(gateway.socket_directory, ignore_errors=True)
