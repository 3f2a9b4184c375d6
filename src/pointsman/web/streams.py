"""Server-sent events on plain ASGI: frames, heartbeats, an end that can be resumed when the process drains, and bounded slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from pointsman.kit.problems import FieldError, InvalidRequest

ABORT = "pointsman.abort"
LAST_SEQ = 2**31 - 1
_DIGITS = re.compile(r"[0-9]{1,10}")
_SLOWEST_READER = timedelta(seconds=30)
_LAST_FRAME_SECONDS = 1
_HEARTBEAT = b": still here\n\n"
# An EventSource comes back after this many milliseconds with its last id; by then another replica may be the one that answers.
_FAREWELL = b"retry: 500\n: this process is stopping, the stream resumes by id\n\n"

log = structlog.get_logger()


class Flag(Protocol):
    """What tells that the process drains, such as an `asyncio.Event`."""

    def is_set(self) -> bool: ...
    async def wait(self) -> object: ...


def frame(seq: int, name: str, data: bytes) -> bytes:
    """One event: `id`, `event` and `data`, which is JSON and therefore has no line breaks of its own."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (seq, name.encode(), data)


def resume_after(connection: HTTPConnection) -> int:
    """The id that the client has seen last, 0 for none. Raises InvalidRequest.

    `Last-Event-ID` goes before `?after=`: an EventSource that comes back still has the address it began with.
    """
    header, query = connection.headers.get("last-event-id", "").strip(), connection.query_params.get("after")
    after = 0 if query is None else _seq(query, "/query/after")
    return _seq(header, "/header/Last-Event-ID") if header else after


class EventStream:
    """An answer that is a stream of ready frames; as a Response it can be returned from a route, or called as an ASGI application.

    It ends when `frames` ends; after the frame at hand when `draining` is set; when the client leaves; and when the client reads
    nothing for 30 seconds. In each case `frames` is closed and nothing else: what it reports on goes on.
    """

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        *,
        draining: Flag,
        heartbeat: timedelta = timedelta(seconds=15),
        headers: Sequence[tuple[bytes, bytes]] = (),
        slowest_reader: timedelta = _SLOWEST_READER,
    ) -> None:
        self._frames = frames
        self._draining = draining
        self._heartbeat = heartbeat.total_seconds()
        self._headers = headers
        self._slowest_reader = slowest_reader.total_seconds()
        self._sending_since: float | None = None
        self._last_sent = 0.0
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *self._headers]})
        pump = asyncio.create_task(self._pump(send))
        left = asyncio.create_task(_left(receive))
        drain = asyncio.create_task(_set(self._draining))
        try:
            await self._watch(pump, left, drain, send)
            if left.done():
                return
            await self._stop(pump)
            await self._say(send, b"" if self._complete else _FAREWELL, more=False)
        except TimeoutError:
            log.info("stream.reader_too_slow", seconds=self._slowest_reader)
            _abort(scope)
        finally:
            await _settle(pump, left, drain)
            await _close(self._frames)

    async def _pump(self, send: Send) -> None:
        async for ready in self._frames:
            await self._say(send, ready)
            if self._draining.is_set():
                return
        self._complete = True

    async def _watch(self, pump: asyncio.Task[None], left: asyncio.Task[None], drain: asyncio.Task[None], send: Send) -> None:
        """Until one of them is done; meanwhile a comment whenever nothing was said for a while. Raises TimeoutError for a stuck client."""
        loop = asyncio.get_running_loop()
        self._last_sent = loop.time()
        pause = min(self._heartbeat, self._slowest_reader)
        # Looking once a pause costs nothing per event, where a timeout around each `send` would.
        while not (await asyncio.wait({pump, left, drain}, timeout=pause, return_when=asyncio.FIRST_COMPLETED))[0]:
            if self._sending_since is None:
                if loop.time() - self._last_sent >= self._heartbeat * 0.9:
                    await asyncio.wait_for(self._say(send, _HEARTBEAT), self._slowest_reader)
            elif loop.time() - self._sending_since >= self._slowest_reader:
                raise TimeoutError

    async def _stop(self, pump: asyncio.Task[None]) -> None:
        """End the pump between two frames: one that is being sent is not cut, nor waited for without end. Raises what it raised."""
        if self._is_sending:
            await asyncio.wait({pump}, timeout=_LAST_FRAME_SECONDS)
        if self._is_sending:
            raise TimeoutError
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump

    @property
    def _is_sending(self) -> bool:
        return self._sending_since is not None

    async def _say(self, send: Send, ready: bytes, *, more: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self._sending_since = loop.time()
        await send({"type": "http.response.body", "body": ready, "more_body": more})
        self._sending_since = None
        self._last_sent = loop.time()


_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # Asks a proxy in between not to collect the stream before passing it on.
    (b"x-accel-buffering", b"no"),
)


def _seq(text: str, place: str) -> int:
    if _DIGITS.fullmatch(text) and int(text) <= LAST_SEQ:
        return int(text)
    message = f"An event id is a whole number from 0 to {LAST_SEQ}."
    raise InvalidRequest(message, hint="Use the `id` of an event of this run.", errors=(FieldError(place, message),))


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(flag: Flag) -> None:
    await flag.wait()


async def _settle(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    # Collected, not awaited one by one: each has either ended or been cancelled, and none is news any more.
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close(frames: AsyncIterator[bytes]) -> None:
    close: Callable[[], object] | None = getattr(frames, "aclose", None)
    if close is not None:
        with contextlib.suppress(StopAsyncIteration):
            await close()  # type: ignore[misc]


def _abort(scope: Scope) -> None:
    """Break the connection, where the server offers it: closing would wait for the reader that does not read."""
    abort = scope.get(ABORT)
    if abort is not None:
        abort()
