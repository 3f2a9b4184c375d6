"""uvicorn's HTTP protocol, bounded: heads have a size and a deadline, connections a number, and its refusals are problems too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from pointsman.api.exchange import new_request_id
from pointsman.api.problems import MalformedRequest, render
from pointsman.kit.problems import Kind, Problem
from pointsman.web.streams import ABORT

LARGEST_HEAD = 65_536
HEAD_SECONDS = 20
BODY_SECONDS = 120
LINGER_SECONDS = 5


class HeadTooLarge(Problem):
    """The request line and headers together are larger than any real client's."""

    kind = Kind.TOO_LARGE
    code = "head-too-large"
    title = "The headers are too large"


class TooManyConnections(Problem):
    """This process holds as many connections as it is allowed. Retry after the seconds in `Retry-After`, or ask another replica."""

    kind = Kind.UNAVAILABLE
    code = "too-many-connections"
    title = "Too many connections"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The parser itself bounds neither the head of a request nor the time that it takes."""

    def __init__(self, *, most_connections: int, **options: Any) -> None:
        super().__init__(**options)
        self._most_connections = most_connections
        self._head_open = False
        self._head_bytes = 0
        self._refusal: Problem | None = None
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take it, or refuse it at once where there are enough."""
        super().connection_made(transport)
        if len(self.connections) > self._most_connections:
            self._refuse(TooManyConnections(retry_after=1))
        else:
            self._set_deadline(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline with it."""
        self._set_deadline(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, while the size of a head that goes on is counted."""
        if self._refused or self.transport.is_closing():
            return
        went_on = self._head_open
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._head_open and went_on:
            self._head_bytes += len(data)
            if self._head_bytes > LARGEST_HEAD:
                self._refuse(_head_too_large())
        elif self._is_idle and self._deadline is None and self.timeout_keep_alive_task is None:
            # The server's own timer was stopped by these bytes, which were no request: the rest of a refused body, or blank lines.
            self._set_deadline(HEAD_SECONDS)

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[ABORT] = self.transport.abort
        self._head_open, self._head_bytes = True, 0
        self._set_deadline(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """The head is whole; what came of it in a single read is counted only now."""
        self._head_open = False
        self._set_deadline(BODY_SECONDS, self._give_up_on_body)
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEAD:
            self._refusal = _head_too_large()
            raise self._refusal
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole: whoever was answered before that no longer lingers."""
        self._set_deadline(None)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A client may go on sending a body that was refused, so that it gets to read the answer, but not without end."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._set_deadline(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        """What the parser cannot read is answered as every other failure is."""
        self._refuse(self._refusal or MalformedRequest(msg))

    @property
    def _is_idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return not self._head_open and (cycle is None or cycle.response_complete)

    def _set_deadline(self, seconds: float | None, then: Callable[[], None] | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, then or self.transport.close)

    def _give_up_on_body(self) -> None:
        if not self.cycle.more_body:
            return
        self._refuse(MalformedRequest(f"The body was not complete after {BODY_SECONDS} seconds."))

    def _refuse(self, problem: Problem) -> None:
        self._refused = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            # Its body cannot be read on, or another request was sent behind it; whoever serves it learns that the client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        answer = render(problem, new_request_id())
        head = [*self.server_state.default_headers, *answer.headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in head)
        self.transport.write(STATUS_LINE[answer.status] + lines + b"\r\n" + answer.body)
        # Closing now would reset the connection, and with it the answer, while the client still sends.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._set_deadline(LINGER_SECONDS)


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The largest that is read has {LARGEST_HEAD} bytes.")
