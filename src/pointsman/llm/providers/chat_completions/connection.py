"""HTTP to one provider: its connections, and one request's answer under the limits on connecting, the first byte and silence."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Literal, Self

import aiohttp
from yarl import URL

from pointsman.llm.names import Provider
from pointsman.llm.trust import trust_of

_LARGEST_BODY = 32 * 1024 * 1024
_IDLE_SECONDS = 30.0  # for which an unused connection is kept
_DRAIN_SECONDS = 0.02  # in which an answer that is complete may end, or its connection is given up


_Limit = Literal["first_byte", "idle"]


class Silence(Exception):  # noqa: N818 - a fact, like our problems
    """The upstream sent nothing for as long as a limit allows; `limit` says which."""

    def __init__(self, limit: _Limit) -> None:
        super().__init__(f"nothing came within the {limit} limit")
        self.limit: _Limit = limit


class BodyTooLarge(Exception):  # noqa: N818 - a fact, like our problems
    """A body did not end within the bound."""


class Unsendable(Exception):  # noqa: N818 - a fact, like our problems
    """No HTTP request can be made of the key or the base URL."""


class Connections:
    """The connections to one provider. Made in any thread; opened by the event loop that first asks."""

    def __init__(self, provider: Provider, path: str = "chat/completions", *, key_header: str | None = None) -> None:
        """To `path` below the base URL; the key goes into `key_header`, else into `Authorization`."""
        self._limits = provider.limits
        self._url = _endpoint(provider.base_url, path)
        self._headers = _headers(provider, self._url, key_header)
        self._trust = trust_of(provider.limits) if provider.base_url.startswith("https:") else None
        self._proxy = provider.limits.proxy_url()
        self._session: aiohttp.ClientSession | None = None  # noqa: TID251 - its name

    def ask(self, body: bytes) -> Exchange:
        """Send a request: `async with` gives the answer once its head has come."""
        if self._url is None or self._headers is None:
            raise Unsendable
        session = self._session or self._open(self._trust)
        first_byte, idle = self._limits.first_byte.total_seconds(), self._limits.idle.total_seconds()
        return Exchange(session, self._url, self._headers, body, first_byte=first_byte, idle=idle)

    async def aclose(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    def _open(self, trust: ssl.SSLContext | None) -> aiohttp.ClientSession:  # noqa: TID251 - its name
        # The bulkhead bounds the calls; the pool must never be where one of them waits.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, ssl=True if trust is None else trust)
        self._session = aiohttp.ClientSession(  # noqa: TID251 - addresses come from the operator's settings alone
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._limits.connect.total_seconds(),
                sock_read=self._limits.first_byte.total_seconds(),
                ceil_threshold=float("inf"),
            ),
            proxy=self._proxy,
            trust_env=False,
        )
        return self._session


class Exchange:
    """One request and its answer. `read` gives what has come since, b"" at the end."""

    def __init__(
        self,
        session: aiohttp.ClientSession,  # noqa: TID251 - its name
        url: URL,
        headers: dict[str, str],
        body: bytes,
        *,
        first_byte: float,
        idle: float,
    ) -> None:
        self._request = session.post(url, data=body, headers=headers, allow_redirects=False)
        self._loop = asyncio.get_running_loop()
        self._limit = first_byte
        self._limit_name: _Limit = "first_byte"
        self._idle = idle
        self._waits_since = 0.0
        self._waits = False
        self._timer: asyncio.TimerHandle | None = None
        self._broken: aiohttp.ClientError | None = None
        self.response: aiohttp.ClientResponse

    async def __aenter__(self) -> Self:
        asked = self._loop.time()
        self.response = await self._request
        connection = self.response.connection
        if connection is not None and connection.protocol is not None:
            # From here on the clock is ours: aiohttp's would make a new timer for every read.
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()
        self._limit = max(self._limit - (self._loop.time() - asked), 0.05)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.response.content.at_eof():
            self.response.release()
        else:
            self.response.close()
            await asyncio.sleep(0)  # in which the loop closes the socket: the provider should not go on for nobody

    async def read(self) -> bytes:
        """What has come, at least a byte, or b"" at the end. Raises Silence and aiohttp's errors."""
        content = self.response.content
        if self._broken is not None:
            raise self._broken
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit, self._look)
        self._waits_since, self._waits = self._loop.time(), True
        try:
            piece = await content.readany()
        except aiohttp.ClientError as error:
            piece = self._left_by(error)
        finally:
            self._waits = False
        if self._limit_name == "first_byte":
            self._limit, self._limit_name = self._idle, "idle"
            self._timer.cancel()
            self._timer = None
        return piece

    async def read_all(self) -> bytes:
        """The whole body. Raises BodyTooLarge beside what `read` does."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > _LARGEST_BODY:
                raise BodyTooLarge
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def end(self) -> None:
        """Read what may follow a complete answer, so that its connection can be used again."""
        content = self.response.content
        if content.at_eof():
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await content.readany()
        except (TimeoutError, aiohttp.ClientError):
            return

    def _left_by(self, error: aiohttp.ClientError) -> bytes:
        """What came right before the connection broke, which aiohttp would keep to itself; the error is for the next read."""
        content = self.response.content
        content.set_exception(None)  # pyright: ignore[reportArgumentType] - takes it back, so that the buffer can be read
        piece = content.read_nowait()
        if not piece:
            raise error
        self._broken = error
        return piece

    def _look(self) -> None:
        """Whether the upstream has been silent for too long: one timer, put off rather than made anew for each read."""
        left = self._waits_since + self._limit - self._loop.time() if self._waits else self._limit
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.response.content.set_exception(Silence(self._limit_name))


def _endpoint(base_url: str, path: str) -> URL | None:
    try:
        url = URL(f"{base_url.rstrip('/')}/{path}")
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.host else None


def _headers(provider: Provider, url: URL | None, key_header: str | None) -> dict[str, str] | None:
    key = provider.api_key.get_secret_value() if provider.api_key else "none"
    if not (key.isascii() and key.isprintable()):
        return None
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "pointsman",
    }
    if key_header is not None:
        return {key_header: key, **headers}
    # There is one such header: a user and a password in the address are what it is made of, as with the SDKs.
    addressed = url is not None and (url.raw_user or url.raw_password)
    return headers if addressed else {"Authorization": f"Bearer {key}", **headers}
