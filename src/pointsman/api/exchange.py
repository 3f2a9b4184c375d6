"""One request and its answer under way: its id, the headers that every answer carries, and what is told about it at the end."""

from __future__ import annotations

import http
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import Message, Scope, Send

from pointsman.api.problems import MalformedRequest

Header = tuple[bytes, bytes]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_UNCACHED: Header = (b"cache-control", b"no-store")
# Two of these in one request are two opinions about who calls or what is sent; proxies and we might believe different ones.
_ONCE = frozenset(
    {b"authorization", b"x-api-key", b"x-pointsman-tenant", b"idempotency-key", b"content-type", b"content-length", b"last-event-id"}
)


class Exchange:
    """Wraps `send`: gives the answer its common headers and notes what was answered."""

    __slots__ = (
        "_head_only",
        "_send",
        "began",
        "done",
        "extra",
        "headers",
        "key_id",
        "request_id",
        "size",
        "status",
        "template",
        "tenant",
    )

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = _request_id(self.headers)
        self.template = "none"
        self.key_id: int | None = None
        self.tenant: str | None = None
        self.extra: list[Header] = []
        self.status = 0
        self.size = 0
        self.done = False
        self._send = send
        self._head_only = scope["method"] == "HEAD"

    @property
    def started(self) -> bool:
        """Whether the status has left, so that nothing else can be answered."""
        return self.status != 0

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.perf_counter() - self.began

    async def send(self, message: Message) -> None:
        """The ASGI `send` for whoever answers."""
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self.done:
            self.size += len(message.get("body", b""))
            self.done = not message.get("more_body", False)
            await self._send(message)

    async def answer(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """A whole answer at once."""
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await self.send({"type": "http.response.body", "body": body})

    async def _start(self, message: Message) -> None:
        self.status = message["status"]
        given = message.get("headers", ())
        if self.status == http.HTTPStatus.NO_CONTENT:
            # FastAPI says what type the body would have that is not there.
            given = [header for header in given if header[0] != b"content-type"]
        headers = [*given, (b"x-request-id", self.request_id.encode()), *_ALWAYS, *self.extra]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append(_UNCACHED)
        await self._send({**message, "headers": headers})
        if self._head_only:
            # Whoever answers may be a stream without end: it learns from `receive` that nobody listens any more.
            self.done = True
            await self._send({"type": "http.response.body", "body": b""})


def refuse_repeated(headers: Iterable[Header]) -> None:
    """Raise MalformedRequest when a header that must be there once is there twice."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in _ONCE:
            if name in seen:
                raise MalformedRequest(f"The header {name.decode()} is given twice.")
            seen.add(name)


def new_request_id() -> str:
    """Random; one is made for each request, so it is made in the quickest way."""
    return "req_" + secrets.token_hex(12)


def _request_id(headers: Mapping[bytes, Any]) -> str:
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()
