"""Carries a session's messages to a program in a sandbox, a line each, and ends the program with the session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import mcp_types
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage

from pointsman.execution.runners.local.sandbox import LocalSandbox
from pointsman.jobs.outputs import Stream
from pointsman.tools.mcp.wire import Ends

_TAIL = 2000  # bytes of its standard error that are kept
_AHEAD = 4  # times the largest message may lie unread before the program is ended


class Program:
    """A server's program: what it writes is bounded, and the end of what it complains of is kept in `complaints`."""

    def __init__(self, sandbox: LocalSandbox, argv: list[str], answer_bytes: int) -> None:
        self._sandbox = sandbox
        self._argv = argv
        self._most = answer_bytes
        self._buffer = bytearray()
        self._complaints = b""
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unread = 0
        self._running: asyncio.Task[None] | None = None

    @property
    def complaints(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._complaints.decode(errors="replace").replace("\0", "\ufffd").strip()

    @property
    def ended(self) -> bool:
        """Whether it has run and runs no more."""
        return self._running is not None and self._running.done()

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Ends]:
        """Run it, and talk to it until the block ends; then it is killed. The reading stream ends when the program does."""
        incoming, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        read_from, written_to = os.pipe()
        self._running = asyncio.create_task(self._run(read_from))
        file = os.fdopen(written_to, "wb", buffering=0)
        pipe, entrance = await asyncio.get_running_loop().connect_write_pipe(_Entrance, file)
        tasks = [asyncio.create_task(self._hear(incoming)), asyncio.create_task(_tell(outgoing, pipe, entrance))]
        try:
            yield read_stream, write_stream
        finally:
            for task in (*tasks, self._running):
                task.cancel()
            await asyncio.gather(*tasks, self._running, return_exceptions=True)
            pipe.close()
            for stream in (incoming, read_stream, write_stream, outgoing):
                stream.close()
            os.close(read_from)

    async def _run(self, stdin: int) -> None:
        try:
            ended = await self._sandbox.exec(self._argv, on_output=self._take, stdin=stdin)
            how = "out of memory" if ended.oom else f"by {ended.signal}" if ended.signal else f"with exit code {ended.exit_code}"
            self._complain(f"It ended {how}.")
        finally:
            self._lines.put_nowait(None)

    def _take(self, stream: Stream, data: bytes) -> None:
        """Called with each piece as it comes; a program that says more than anybody reads is ended."""
        if stream == "stderr":
            self._complaints = (self._complaints + data)[-_TAIL:]
            return
        *lines, rest = (bytes(self._buffer) + data).split(b"\n")
        self._buffer = bytearray(rest)
        self._unread += sum(len(line) for line in lines)
        for line in lines:
            self._lines.put_nowait(line)
        if (len(rest) > self._most or self._unread > _AHEAD * self._most) and self._running is not None:
            self._complain("It was ended: it wrote more than is read of it.")
            self._running.cancel()

    def _complain(self, what: str) -> None:
        self._complaints += f"\n{what}".encode()

    async def _hear(self, incoming: ObjectSendStream[SessionMessage | Exception]) -> None:
        async with incoming:
            while (line := await self._lines.get()) is not None:
                self._unread -= len(line)
                if line.strip():
                    await incoming.send(_message(line))


def _message(line: bytes) -> SessionMessage | Exception:
    """What is no message is an error of the session's, as its library has it."""
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


class _Entrance(asyncio.BaseProtocol):
    """The writing end of the program's standard input; whoever writes waits while it is full."""

    def __init__(self) -> None:
        self._ready = asyncio.Event()
        self._ready.set()

    def pause_writing(self) -> None:
        self._ready.clear()

    def resume_writing(self) -> None:
        self._ready.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ready.set()

    async def ready(self) -> None:
        await self._ready.wait()


async def _tell(outgoing: ObjectReceiveStream[SessionMessage], pipe: asyncio.WriteTransport, entrance: _Entrance) -> None:
    async with outgoing:
        async for message in outgoing:
            pipe.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await entrance.ready()
