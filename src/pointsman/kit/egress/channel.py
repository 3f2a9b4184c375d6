"""Requests to user-supplied URLs whose answers are read as they come, for libraries that bring a protocol of their own."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.kit.egress.bodies import stream_body
from pointsman.kit.egress.client import Egress
from pointsman.kit.egress.errors import EgressFailed, EgressNotReached
from pointsman.kit.egress.urls import parse_url

if TYPE_CHECKING:
    import aiohttp

# The connection's own, and how the body is coded: decided here, whatever the library would like.
_OURS = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "accept-encoding", "user-agent", "expect", "te", "upgrade", "cookie")
)


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that has begun: header names are in lower case; `chunks` raises EgressTooLarge and EgressFailed. Close it with `aclose`."""

    status: int
    headers: Sequence[tuple[str, str]]
    chunks: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]


class Channels(Egress):
    """Egress as a library's transport: each request is checked and connected as every other, the answer is the library's to read."""

    async def open(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, most: int) -> Opened:
        """Send a request, of whose answer at most `most` bytes can be read. A redirect is an answer like any other.

        The time is the caller's to bound, that of connecting apart. Raises EgressRefused, EgressFailed, EgressNotReached.
        """
        import aiohttp  # noqa: PLC0415 - a third of a second that the start need not wait for
        from yarl import URL  # noqa: PLC0415 - comes with aiohttp

        target = parse_url(url)
        self._check(target)
        given = {name: value for name, value in headers.items() if name.lower() not in _OURS}
        given |= {"Accept-Encoding": "identity", "User-Agent": "pointsman"}
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(
                    self._session().request(
                        method, URL(target.url, encoded=True), data=io.BytesIO(body) if body else None, headers=given, allow_redirects=False
                    )
                )
            except (aiohttp.ClientError, OSError) as error:
                raise _failed(error) from error
            names = [(name.lower(), value) for name, value in response.headers.items()]
            return Opened(response.status, names, _chunks(response, most), stack.pop_all().aclose)


async def _chunks(response: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    import aiohttp  # noqa: PLC0415 - as above

    try:
        async for chunk in stream_body(response, most):
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise _failed(error) from error


def _failed(error: Exception) -> EgressFailed:
    import aiohttp  # noqa: PLC0415 - as above

    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return EgressNotReached("The URL's host has no certificate that is trusted for its name, or does not speak TLS.")
        case aiohttp.ClientConnectorError():
            return EgressNotReached("The URL's host could not be connected to.")
        case _:
            return EgressFailed("The URL's host gave no complete HTTP answer.")
