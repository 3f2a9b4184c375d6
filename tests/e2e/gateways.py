"""Real gateways for tests: as processes of their own, or served from a thread of this one; a fake upstream stands for the providers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from cryptography.fernet import Fernet
from tests.fakes.upstream import Upstream

from pointsman.access.first_key import bootstrap_admin
from pointsman.api.app import create_app
from pointsman.bootstrap import Gateway, routers
from pointsman.kit.db import Database
from pointsman.settings import Settings

_LISTENING = re.compile(r"listening on (http://\S+)")
# One ring for all: what one replica encrypted another must read.
KEYRING = Fernet.generate_key().decode()
FAKE_KEYS = {"OPENAI_API_KEY": "sk-fake-openai", "ANTHROPIC_API_KEY": "sk-fake-anthropic", "GOOGLE_API_KEY": "fake-google"}


@dataclass
class GatewayProcess:
    """A replica and where it listens."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """SIGTERM; it drains."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, within: float = 20) -> int:
        """Its exit status."""
        return await asyncio.to_thread(self.process.wait, within)

    def stop(self) -> None:
        """Whatever state it is in."""
        if self.is_alive:
            self.kill()


class Alone(GatewayProcess):
    """`pointsman up`: it has a database of its own, which only an orderly stop takes along."""

    def stop(self) -> None:
        if self.is_alive:
            self.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def start_gateway(dsn: str, folder: Path, upstream: Upstream, **variables: str) -> GatewayProcess:
    """Start a replica that knows one provider, `openai:`, and wait until it listens; `variables` are more of its environment."""
    own = {"POINTSMAN_DATABASE__URL": dsn, "POINTSMAN_DATA_DIR": str(folder / "data")}
    return GatewayProcess(*_started(["serve"], folder, {**_environment(upstream), **own, **variables}))


def start_alone(data_dir: Path, folder: Path, upstream: Upstream, **variables: str) -> Alone:
    """Start `pointsman up` with everything in `data_dir` but workers, and wait until it listens."""
    return Alone(*_started(["up", "--workers", "0"], folder, {**_environment(upstream), "POINTSMAN_DATA_DIR": str(data_dir), **variables}))


def _environment(upstream: Upstream) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_API_KEY": FAKE_KEYS["OPENAI_API_KEY"],
        "OPENAI_BASE_URL": upstream.openai_url,
        "POINTSMAN_KEYRING__KEYS": f'["{KEYRING}"]',
        "POINTSMAN_PORT": "0",
    }


def _started(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"gateway-{os.urandom(4).hex()}.log"
    with log.open("wb") as talk:
        process = subprocess.Popen([sys.executable, "-m", "pointsman", *command], env=environment, stdout=subprocess.DEVNULL, stderr=talk)
    deadline = time.monotonic() + 60
    while (said := _LISTENING.search(log.read_text())) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(f"the gateway did not start: {log.read_text()[-4000:]}")
        time.sleep(0.02)
    return process, said[1], log


@contextmanager
def serving_from_a_thread(dsn: str, settings: dict[str, Any]) -> Generator[str]:
    """A gateway in this process, on a thread and loop of its own, so that providers' libraries are loaded once for all tests."""
    served = _Served(dsn, Settings.model_validate(settings))
    thread = threading.Thread(target=served.run, name="gateway")
    thread.start()
    try:
        assert served.listening.wait(60), "the gateway does not listen"
        assert served.url, "the gateway failed to start"
        yield served.url
    finally:
        served.end()
        thread.join(20)


class _Served:
    def __init__(self, dsn: str, settings: Settings) -> None:
        self._dsn = dsn
        self._settings = settings
        self._stop: Callable[[], None] = lambda: None
        self.listening = threading.Event()
        self.url = ""

    def run(self) -> None:
        try:
            uvloop.run(self._serve())
        finally:
            self.listening.set()

    def end(self) -> None:
        self._stop()

    async def _serve(self) -> None:
        gateway = await Gateway.open(self._settings, self._dsn)
        try:
            await gateway.start()
            # Its own server wants the main thread's signals.
            app = create_app(gateway, routers())
            server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1))
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            loop = asyncio.get_running_loop()
            self._stop = lambda: loop.call_soon_threadsafe(setattr, server, "should_exit", True) and None
            self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            self.listening.set()
            await serving
        finally:
            await gateway.close()


async def admin_key(dsn: str, folder: Path) -> str:
    """The first operator key of a database, as the command line would make it."""
    db = await Database.connect(dsn, pool_size=2)
    try:
        first = await bootstrap_admin(db, folder / "admin-key")
    finally:
        await db.close()
    assert first.api_key is not None
    return first.api_key
