"""A client that breaks its connection within an answer, at any byte: on a socket of its own, since no HTTP library can do that."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import httpx

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_RUN = re.compile(rb"\r\nlocation: /v2/runs/([A-Za-z0-9_]+)\r\n", re.IGNORECASE)


async def read_some(request: httpx.Request, size: int, patience: float) -> bytes:
    """Send the request, read so many bytes or for so many seconds, then reset the connection; what had come until then."""
    reader, writer = await asyncio.open_connection(request.url.host, request.url.port)
    got = b""
    try:
        writer.write(_wire(request))
        with suppress(TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(patience):
                await writer.drain()
                while len(got) < size and (piece := await reader.read(size - len(got))):
                    got += piece
    finally:
        writer.transport.abort()
    return got


def begun(got: bytes) -> tuple[int, str]:
    """Status and run of an answer, as far as they had come; 0 and nothing else."""
    status, run = _HEAD.match(got), _RUN.search(got)
    return int(status[1]) if status else 0, run[1].decode() if run else ""


def _wire(request: httpx.Request) -> bytes:
    head = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n"
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"{head}{fields}\r\n".encode() + request.content
