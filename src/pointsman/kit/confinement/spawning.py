"""The caller's side of the spawner: start it, send it orders, and follow each to its end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess  # noqa: TID251 - this package owns the processes that are confined
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pointsman
from pointsman.kit.confinement.order import Order

OnOutput = Callable[[int, bytes], None]
"""Told the descriptor (1 stdout, 2 stderr) and the bytes, as they come."""

_ROOT = Path(pointsman.__file__).parents[1]
_PROGRAM = "import sys; sys.path.append(sys.argv.pop()); from pointsman.kit.confinement.spawner import main; main()"
_CHUNK = 65536
_PATIENCE = 2.0  # seconds in which what was killed is gone
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class ConfinementRefused(Exception):  # noqa: N818 - a fact, for the caller to put into its own words
    """The kernel does not grant what the confinement needs."""


class ConfinementFailed(Exception):  # noqa: N818 - as above
    """The confinement was granted and did not work."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: by itself with a code, or by a signal; one of the two."""

    code: int | None
    signal: int | None


class Spawner:
    """The process that confined programs descend from; started when first needed, and again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None  # noqa: TID251 - a pair between two processes of ours

    async def run(
        self, order: Order, on_output: OnOutput, stdin: bytes | int = b"", on_start: Callable[[int], None] | None = None
    ) -> Ended:
        """Run the order to its end; cancelled, it first ends everything that the program started, within 2 s.

        `stdin` is what the program reads, or the descriptor that it reads from: of a file that lies where it has no way to, for instance.
        `on_start` is told the id of the process that all of the program's descend from. Raises ConfinementRefused, ConfinementFailed.
        """
        with contextlib.ExitStack() as ours:
            with contextlib.ExitStack() as theirs:
                streams = [await _pipe(theirs, ours) for _ in range(3)]
                entrance = _entrance(theirs, stdin)
                told = _sealed(theirs, order.text().encode())
                try:
                    self._send([entrance, *(writer for _, writer in streams), told])
                except OSError as error:
                    raise ConfinementFailed(f"the spawner cannot be reached: {error}") from error
            return await _Following(on_start).follow([reader for reader, _ in streams], on_output)

    async def aclose(self) -> None:
        """End the spawner, and with it everything that still runs under it."""
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._process = self._orders = None

    def _send(self, descriptors: list[int]) -> None:
        orders = self._ready()
        try:
            socket.send_fds(orders, [b"!"], descriptors)
        except (BrokenPipeError, ConnectionResetError):  # it died: whatever it ran has died with it
            self._forget()
            socket.send_fds(self._ready(), [b"!"], descriptors)

    def _ready(self) -> socket.socket:  # noqa: TID251 - as above
        if self._orders is None:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, str(its.fileno()), str(os.getpid()), str(_ROOT)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            self._orders = ours
        return self._orders

    def _forget(self) -> None:
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._orders = None


class _Following:
    """One program, from its order to its end."""

    def __init__(self, on_start: Callable[[int], None] | None) -> None:
        self._on_start = on_start
        self._init: int | None = None  # a descriptor of the process that all others die with
        self._unwanted = False
        self._said: list[str] = []

    async def follow(self, streams: list[asyncio.StreamReader], on_output: OnOutput) -> Ended:
        """Nothing may be awaited between the order and this: from here on a cancellation ends the program."""
        stdout, stderr, report = streams
        watching = asyncio.create_task(self._watch(report))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(stdout, 1, on_output))
                group.create_task(_pump(stderr, 2, on_output))
                await asyncio.shield(watching)
        finally:
            self._end()
            await asyncio.wait({watching}, timeout=_PATIENCE)
            if self._init is not None:
                os.close(self._init)
                self._init = None
        return self._judge()

    async def _watch(self, report: asyncio.StreamReader) -> None:
        async for line in report:
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith("init "):
                self._begin(int(text.removeprefix("init ")))
            elif text != "gone":
                self._said.append(text)

    def _begin(self, init: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._init = os.pidfd_open(init)
        if self._unwanted:
            self._end()
        elif self._on_start is not None:
            self._on_start(init)

    def _end(self) -> None:
        self._unwanted = True
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    def _judge(self) -> Ended:
        verdict, _, rest = (self._said[0] if self._said else "failed it was killed from outside").partition(" ")
        if verdict == "refused":
            raise ConfinementRefused(rest)
        if verdict == "failed":
            raise ConfinementFailed(rest)
        return Ended(int(rest), None) if verdict == "exited" else Ended(None, int(rest))


async def _pipe(theirs: contextlib.ExitStack, ours: contextlib.ExitStack) -> tuple[asyncio.StreamReader, int]:
    """Our end, which is read from already, and theirs."""
    reader, writer = os.pipe()
    theirs.callback(os.close, writer)
    stream = asyncio.StreamReader(limit=_CHUNK)
    pipe = os.fdopen(reader, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    connecting = asyncio.ensure_future(loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe))
    try:
        transport, _ = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(lambda done: done.result()[0].close())
        raise
    ours.callback(transport.close)
    return stream, writer


async def _pump(reader: asyncio.StreamReader, descriptor: int, on_output: OnOutput) -> None:
    while chunk := await reader.read(_CHUNK):
        on_output(descriptor, chunk)


def _entrance(theirs: contextlib.ExitStack, stdin: bytes | int) -> int:
    if isinstance(stdin, int):
        return stdin
    return _sealed(theirs, stdin) if stdin else _nothing(theirs)


def _nothing(theirs: contextlib.ExitStack) -> int:
    descriptor = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    theirs.callback(os.close, descriptor)
    return descriptor


def _sealed(theirs: contextlib.ExitStack, data: bytes) -> int:
    """A file in memory that nobody can change any more."""
    descriptor = os.memfd_create("pointsman", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    theirs.callback(os.close, descriptor)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor
