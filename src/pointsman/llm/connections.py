"""The HTTP client of a provider: one per provider, with its limits on connecting, the first byte and silence.

Imported only when a provider is first used, because httpx2 takes a while to load. Addresses come from the operator's settings alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx2

from pointsman.llm.trust import trust_of
from pointsman.settings import ProviderSettings, UpstreamLimits


class Silence(httpx2.ReadTimeout):
    """The upstream sent nothing for as long as a limit allows; `limit` says which."""

    def __init__(self, limit: Literal["first_byte", "idle"]) -> None:
        super().__init__(f"nothing came within the {limit} limit")
        self.limit: Literal["first_byte", "idle"] = limit


class BrokenOff(httpx2.ReadError):
    """The connection broke within an answer that had begun well: whatever is missing of it, the provider has made it."""


def open_client(limits: ProviderSettings) -> httpx2.AsyncClient:
    """A client whose time limits no SDK can lengthen. Redirects are not followed: a key must not travel to another host."""
    # The bulkhead bounds the calls; the pool must never be where one of them waits.
    pool = httpx2.Limits(max_connections=None, max_keepalive_connections=min(limits.concurrency, 200), keepalive_expiry=30)
    return httpx2.AsyncClient(
        transport=_LimitedTransport(httpx2.AsyncHTTPTransport(verify=trust_of(limits), limits=pool, proxy=limits.proxy_url()), limits),
        # Some SDKs copy this onto each request; the transport below replaces it.
        timeout=httpx2.Timeout(limits.total.total_seconds(), connect=limits.connect.total_seconds()),
        headers={"User-Agent": "pointsman"},
        follow_redirects=False,
        trust_env=False,
    )


class _LimitedTransport(httpx2.AsyncBaseTransport):
    def __init__(self, inner: httpx2.AsyncBaseTransport, limits: UpstreamLimits) -> None:
        self._inner = inner
        self._connect = limits.connect.total_seconds()
        self._first_byte = limits.first_byte.total_seconds()
        self._idle = limits.idle.total_seconds()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeouts: dict[str, Any] = {"connect": self._connect, "pool": self._connect, "write": self._first_byte, "read": self._first_byte}
        request.extensions = {**request.extensions, "timeout": timeouts}
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.ReadTimeout:
            raise Silence("first_byte") from None
        except httpx2.WriteTimeout:
            raise Silence("first_byte") from None
        timeouts["read"] = None  # from here on the clock is `_LimitedStream`'s
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        left = self._first_byte - (loop.time() - started)
        response.stream = _LimitedStream(response.stream, max(left, 0.05), self._idle, good=response.is_success)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LimitedStream(httpx2.AsyncByteStream):
    """A body whose first piece must come within `first_byte` and each further one within `idle`."""

    def __init__(self, inner: httpx2.AsyncByteStream, first_byte: float, idle: float, *, good: bool) -> None:
        self._inner = inner
        self._good = good
        self._pieces = aiter(inner)
        self._limit = first_byte
        self._idle = idle
        self._name: Literal["first_byte", "idle"] = "first_byte"

    # An iterator and no generator: one object less for each piece, and none to be closed when a reader leaves.
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout(self._limit):
                piece = await anext(self._pieces)
        except TimeoutError:
            raise Silence(self._name) from None
        except httpx2.TransportError as error:
            if not self._good:
                raise
            raise BrokenOff(str(error)) from error
        self._limit, self._name = self._idle, "idle"
        return piece

    async def aclose(self) -> None:
        await self._inner.aclose()
