"""Runs the application on uvicorn, and ends it well: not ready at once, streams end resumable, requests finish, all within a bound."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from pointsman.api.ports import DrainFlag
from pointsman.api.protocol import BoundedProtocol
from pointsman.kit.problems import Kind, Problem
from pointsman.settings import Settings

T = TypeVar("T")
KEEP_ALIVE_SECONDS = 75  # longer than the usual load balancers keep theirs, so that the one that closes is never surprised
_OTHER_FILES = 256
_LAME_DUCK_SECONDS = 0.5
_ANSWER_CANCELLED_SECONDS = 1.0

log = structlog.get_logger()


class AddressNotUsable(Problem):
    """The server cannot listen where it should: another process listens there, the address is not this machine's, or it is not allowed.

    Stop the other process, or choose another address with `--host` and `--port` (`POINTSMAN_HOST`, `POINTSMAN_PORT`).
    """

    kind = Kind.CONFLICT
    code = "address-not-usable"
    title = "Cannot listen there"


async def serve(app: ASGIApp, settings: Settings, draining: DrainFlag, listening: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT (a second one ends at once), or until `draining` is set; `listening` gets the address.

    Raises AddressNotUsable. When it returns, every request is answered or broken off; what drives runs is the caller's to stop.
    """
    server = _Server(app, settings, listening)
    with _signals(lambda: _asked_to_stop(server, draining)):
        watching = asyncio.create_task(_stop_when(draining, server))
        try:
            await server.serve()
            await server.settle()
        finally:
            watching.cancel()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's main coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApp, settings: Settings, listening: Callable[[str], None] | None) -> None:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        # What is left is for cancelled requests to say so, and for the caller to stop what runs beside the server.
        self._graceful_seconds = max(0.0, settings.drain_seconds * 0.8 - _LAME_DUCK_SECONDS - _ANSWER_CANCELLED_SECONDS)
        self._most_connections = _connections(settings.limits.connections)
        self._listening = listening

    async def startup(self, sockets: object = None) -> None:
        """Listen, or say why not."""
        del sockets
        await self.lifespan.startup()
        host, port = self.config.host, self.config.port
        try:
            server = await asyncio.get_running_loop().create_server(self._protocol, host, port, backlog=self.config.backlog)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise AddressNotUsable(f"Cannot listen on {host}:{port}: {reason}.", hint="Choose another --host or --port.") from None
        self.servers = [server]
        self.config.timeout_graceful_shutdown = self._graceful_seconds  # type: ignore[assignment]
        self.started = True
        if self._listening is not None:
            self._listening(_url(host, server.sockets[0].getsockname()[1]))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are ours: uvicorn would close the door before anybody was told, and end the process by the signal."""
        yield

    async def settle(self) -> None:
        """Let requests that were broken off give their last answer."""
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=_ANSWER_CANCELLED_SECONDS)

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            most_connections=self._most_connections,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )


async def _stop_when(draining: DrainFlag, server: _Server) -> None:
    await draining.wait()
    log.info("server.draining")
    # For a moment the door stays open and /readyz says no, so that load balancers turn away before connections are refused.
    await asyncio.sleep(_LAME_DUCK_SECONDS)
    server.should_exit = True


def _asked_to_stop(server: _Server, draining: DrainFlag) -> None:
    if draining.is_set():
        server.should_exit = server.force_exit = True
    draining.set()


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _connections(wanted: int) -> int:
    """As many connections as requests and some that idle, if the files that the system allows suffice."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    allowed = soft - _OTHER_FILES if soft != resource.RLIM_INFINITY else 2 * wanted
    most = max(16, min(2 * wanted, allowed))
    if most < wanted:
        log.warning("server.few_files", open_files=soft, connections=most, wanted=wanted)
    return most


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
