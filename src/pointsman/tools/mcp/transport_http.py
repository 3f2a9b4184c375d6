"""Carries a session's messages over HTTP, every request through egress: what goes wrong on the way is told as the protocol tells errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client.streamable_http import streamable_http_client

from pointsman.kit.egress import Channels, Opened
from pointsman.kit.problems import Problem
from pointsman.tools.mcp.wire import FAILED, SESSION_LOST, Ends

_STREAM = "text/event-stream"
_STREAMED_TIMES = 16  # of the largest message may a stream be, before it has to be opened anew
_TOLD = 65_536  # bytes of an answer that refuses
# What the body was coded in is undone by now; cookies would make one session's requests depend on another's.
_NOT_PASSED_ON = frozenset(("content-encoding", "content-length", "transfer-encoding", "connection", "set-cookie"))


@asynccontextmanager
async def over_http(url: str, headers: Mapping[str, str], channels: Channels, *, answer_bytes: int, within: float) -> AsyncGenerator[Ends]:
    """The streams of a session; each request is answered or given up `within` seconds, streams that only listen apart."""
    transport = _Transport(channels, answer_bytes, within)
    async with (
        httpx2.AsyncClient(transport=transport, headers=dict(headers), timeout=None, trust_env=False) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=answer_bytes) as streams,
    ):
        yield streams


class _Transport(httpx2.AsyncBaseTransport):
    """Never raises: a failure would end the whole session, and with it the calls of others."""

    def __init__(self, channels: Channels, answer_bytes: int, within: float) -> None:
        self._channels = channels
        self._answer_bytes = answer_bytes
        self._within = within

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        listens = request.method == "GET" or request.headers.get("mcp-method") == "subscriptions/listen"
        deadline = None if listens else asyncio.get_running_loop().time() + self._within
        body = await request.aread()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._answered(request, body, deadline)
        except Problem as problem:
            return _told(502, FAILED, problem.detail)
        except TimeoutError:
            return _told(504, FAILED, f"The server did not answer within {self._within:g} s.")

    async def _answered(self, request: httpx2.Request, body: bytes, deadline: float | None) -> httpx2.Response:
        most = self._answer_bytes * _STREAMED_TIMES
        opened = await self._channels.open(request.method, str(request.url), headers=dict(request.headers.items()), body=body, most=most)
        headers = [(name, value) for name, value in opened.headers if name not in _NOT_PASSED_ON]
        if opened.status == 404 and "mcp-session-id" in request.headers:
            await opened.aclose()
            return _told(404, SESSION_LOST, "The server does not know the session any more.")
        if opened.status >= 400:
            return await _refused(opened, headers)
        streamed = any(name == "content-type" and value.lower().startswith(_STREAM) for name, value in headers)
        stream = _Body(opened, most if streamed else self._answer_bytes, deadline)
        return httpx2.Response(opened.status, headers=headers, stream=stream)


class _Body(httpx2.AsyncByteStream):
    """An answer's body, bounded in bytes and time; where a bound is passed the library is told in the one way that it takes as an error."""

    def __init__(self, opened: Opened, most: int, deadline: float | None) -> None:
        self._opened = opened
        self._most = most
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, chunks = 0, aiter(self._opened.chunks)
        while (chunk := await self._next(chunks)) is not None:
            size += len(chunk)
            if size > self._most:
                raise httpx2.StreamError(f"The answer is larger than {self._most} bytes.")
            yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        # The clock runs only while something is waited for: whoever reads slowly is not cancelled for it.
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(chunks, None)
        except Problem as problem:
            raise httpx2.StreamError(problem.detail) from None
        except TimeoutError:
            raise httpx2.StreamError("The answer did not come to its end in time.") from None

    async def aclose(self) -> None:
        await self._opened.aclose()


async def _refused(opened: Opened, headers: list[tuple[str, str]]) -> httpx2.Response:
    """What a status of 400 and above says: the error that is in it where the server speaks the protocol, else the status."""
    body = bytearray()
    try:
        async for chunk in opened.chunks:
            body += chunk
            if len(body) > _TOLD:
                break
    finally:
        await opened.aclose()
    if b'"jsonrpc"' in body and len(body) <= _TOLD:
        return httpx2.Response(opened.status, headers=headers, content=bytes(body))
    return _told(opened.status, FAILED, f"The server answered with HTTP status {opened.status}.")


def _told(status: int, code: int, message: str) -> httpx2.Response:
    told = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return httpx2.Response(status, headers={"content-type": "application/json"}, content=json.dumps(told).encode())
