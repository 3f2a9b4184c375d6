"""A host with things worth stealing, and a target on it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.conformance.runners.local import Remembered
from tests.conformance.scene import python, spec
from tests.conftest import Cluster

_IPC_CREAT, _IPC_RMID = 0o1000, 0


@pytest.fixture(params=["namespaces", pytest.param("bubblewrap", marks=pytest.mark.system)])
async def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Remembered]:
    if request.param == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed; on Debian: apt-get install bubblewrap")
    monkeypatch.setenv("POINTSMAN_DATABASE__URL", "postgresql://never-to-be-seen")
    runner = Remembered(tmp_path / "sandboxes", request.param)
    health = await runner.probe()
    if health.status != "healthy":
        pytest.skip(health.detail)
    yield runner
    await runner.aclose()


@pytest.fixture
async def host(target: Remembered, tmp_path: Path, treasures: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """What the attempts are told: where everything is, so that not finding it is no excuse."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10))
        writer.close()

    servers = [await asyncio.start_server(hear, "0.0.0.0", 0), await asyncio.start_unix_server(hear, f"\0{treasures['abstract']}")]
    neighbour = Remembered(tmp_path / "others", target.isolation)
    other = await neighbour.open(spec())
    await python(other, "open('file', 'w').write('of another')")
    yield {
        **treasures,
        "port": servers[0].sockets[0].getsockname()[1],
        "other_file": str(tmp_path / "others" / other.handle / "workspace" / "file"),
    }
    await other.close()
    await neighbour.aclose()
    for server in servers:
        server.close()
        await server.wait_closed()
    assert heard == []


@pytest.fixture
def treasures(tmp_path: Path, cluster: Cluster) -> Generator[dict[str, Any]]:
    marker, secret = f"marker-{token_hex(8)}", f"secret-{token_hex(16)}"
    (tmp_path / "data").mkdir()
    keyring = tmp_path / "data" / marker
    keyring.write_text(secret)
    home_file, shared = Path.home() / f".{marker}", Path("/dev/shm") / marker
    home_file.write_text(secret)
    shared.write_text(secret)
    libc = ctypes.CDLL(None, use_errno=True)
    key = int.from_bytes(os.urandom(3), "big")
    segment = libc.shmget(key, 4096, _IPC_CREAT | 0o666)
    yield {
        "marker": marker,
        "secret": secret,
        "keyring": str(keyring),
        "home_file": str(home_file),
        "abstract": f"pm-{marker}",
        "sockets": [f"{folder}/.s.PGSQL.5432" for folder in parse_qs(urlsplit(cluster.dsn).query).get("host", [])],
        "pids": [os.getpid(), os.getppid(), 1_000_000],
        "addresses": _addresses(),
        "segment": key,
    }
    libc.shmctl(segment, _IPC_RMID, None)
    home_file.unlink()
    shared.unlink()


def _addresses() -> list[str]:
    """The host's own addresses, as the kernel would choose them to talk to others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]
