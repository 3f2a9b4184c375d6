"""Fetches from and posts to user-supplied URLs: each hop is parsed once, checked, and connected to at the checked address."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pointsman.kit.egress.addresses import AllowList
from pointsman.kit.egress.bodies import read_beginning, read_body, require_known_coding, stream_body
from pointsman.kit.egress.errors import EgressFailed, EgressMediaTypeRefused, EgressTimeout
from pointsman.kit.egress.names import CheckedNames, Resolver, SystemResolver, may_connect, no_public_address
from pointsman.kit.egress.trusted import Answer
from pointsman.kit.egress.urls import Target, follow_url, parse_url

if TYPE_CHECKING:
    import aiohttp

Accept = Callable[[str], bool] | Sequence[str]

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document: `media_type` is lower case and without parameters, `body` is unpacked, `final_url` is where redirects led.

    `charset` is what the answer says of itself, whether or not there is such a thing.
    """

    status: int
    media_type: str
    body: bytes
    final_url: str
    charset: str | None = None


@dataclass(frozen=True, slots=True)
class Streamed:
    """A document on its way: `media_type` as of `Fetched`; `chunks` raises EgressTooLarge and EgressFailed."""

    media_type: str
    chunks: AsyncIterator[bytes]


class Egress:
    """Makes the requests that users' URLs ask for. One per process; close it with `aclose`.

    It knows no proxy, cookie or netrc, and reuses no connection: what is sent depends on the URL alone.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        resolver: Resolver | None = None,
        connect_timeout: timedelta = timedelta(seconds=5),
        max_redirects: int = 5,
        ssl_context: ssl.SSLContext | None = None,
        connections: int = _CONNECTIONS,
    ) -> None:
        """Allow public addresses and the named hosts, addresses and networks, and so many requests at once. Raises EgressAllowInvalid."""
        self._connections = connections
        self._allow = AllowList.parse(allow)
        self._names = CheckedNames(resolver or SystemResolver(), self._allow)
        self._connect_timeout = connect_timeout
        self._max_redirects = max_redirects
        self._ssl_context = ssl_context
        self._opened: aiohttp.ClientSession | None = None  # noqa: TID251 - its name

    def check_url(self, url: str) -> None:
        """Refuse what can be refused without asking anybody: for use when a URL is stored. Raises EgressRefused."""
        self._check(parse_url(url))

    @asynccontextmanager
    async def stream(self, url: str, *, max_bytes: int, timeout: timedelta) -> AsyncGenerator[Streamed]:  # noqa: ASYNC109 - the limit is the caller's
        """GET a document of at most `max_bytes`, all redirects and the reading of it within `timeout`; it is never whole in memory.

        Raises EgressRefused, EgressFailed (also for an answer other than 2xx) and EgressTimeout.
        """
        import aiohttp  # noqa: PLC0415 - a third of a second that the start need not wait for

        target = parse_url(url)
        self._check(target)
        bound = asyncio.timeout(timeout.total_seconds())
        try:
            async with bound, AsyncExitStack() as stack:
                try:
                    response, _ = await stack.enter_async_context(self._answered(target, ("*/*",)))
                except (aiohttp.ClientError, OSError) as error:
                    raise _failed(error) from error
                yield Streamed(_media_type(response), _translated(stream_body(response, max_bytes)))
        except TimeoutError:
            if not bound.expired():
                raise
            raise EgressTimeout(f"The URL did not answer in full within {timeout.total_seconds():g} s.") from None

    async def fetch(self, url: str, *, max_bytes: int, timeout: timedelta, accept: Accept = ("*/*",)) -> Fetched:  # noqa: ASYNC109 - the limit is the caller's
        """GET a document of at most `max_bytes`, all redirects within `timeout`.

        `accept` is a list of media types (`image/*` too) or decides itself. Raises EgressRefused, EgressMediaTypeRefused,
        EgressTooLarge, EgressFailed (also for an answer other than 2xx) and EgressTimeout.
        """
        import aiohttp  # noqa: PLC0415 - a third of a second that the start need not wait for

        target = parse_url(url)
        self._check(target)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                async with self._answered(target, accept) as (response, final):
                    return await _received(response, final, max_bytes, accept)
        except TimeoutError:
            raise EgressTimeout(f"The URL did not answer in full within {timeout.total_seconds():g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(error) from error

    async def fetch_beginning(self, url: str, *, keep: int, timeout: timedelta) -> Fetched:  # noqa: ASYNC109 - as above
        """GET what there is of a document within its first `keep` bytes, unpacked; all redirects within `timeout`.

        Raises EgressRefused, EgressFailed (also for an answer other than 2xx) and EgressTimeout.
        """
        import aiohttp  # noqa: PLC0415 - as above

        target = parse_url(url)
        self._check(target)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                async with self._answered(target, ("*/*",)) as (response, final):
                    require_known_coding(response)
                    body = await read_beginning(response, keep)
                    return Fetched(response.status, _media_type(response), body, final.url, response.charset)
        except TimeoutError:
            raise EgressTimeout(f"The URL did not answer in full within {timeout.total_seconds():g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(error) from error

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: timedelta, keep: int) -> Answer:  # noqa: ASYNC109 - as above
        """`request` with the method POST."""
        return await self.request("POST", url, headers=headers, body=body, timeout=timeout, keep=keep)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout: timedelta,  # noqa: ASYNC109 - as above
        keep: int,
    ) -> Answer:
        """One exchange with a URL, whole within `timeout`: the answer whatever its status, of its unpacked body the first `keep` bytes.

        A redirect is an answer like any other: nobody checked what it leads to, and the headers were meant for this host alone. Names and
        values of headers are the caller's to check. Raises EgressRefused, EgressFailed and EgressTimeout.
        """
        import aiohttp  # noqa: PLC0415 - as above
        from yarl import URL  # noqa: PLC0415 - comes with aiohttp

        target = parse_url(url)
        self._check(target)
        content = None if body is None else io.BytesIO(body)
        set_already = {name.lower() for name in headers}
        given = {name: value for name, value in _headers(("*/*",)).items() if name.lower() not in set_already} | dict(headers)
        try:
            async with (
                asyncio.timeout(timeout.total_seconds()),
                self._session().request(
                    method, URL(target.url, encoded=True), data=content, headers=given, allow_redirects=False
                ) as response,
            ):
                names = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, names, await read_beginning(response, keep))
        except TimeoutError:
            raise EgressTimeout(f"The URL did not answer in full within {timeout.total_seconds():g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(error) from error

    async def aclose(self) -> None:
        """Close what is open."""
        if self._opened is not None:
            await self._opened.close()
        await self._names.close()

    @asynccontextmanager
    async def _answered(self, target: Target, accept: Accept) -> AsyncGenerator[tuple[aiohttp.ClientResponse, Target]]:
        """What the URL answers in the end, and where redirects led. Raises EgressFailed where that is no 2xx."""
        from yarl import URL  # noqa: PLC0415 - comes with aiohttp

        for _ in range(self._max_redirects + 1):
            async with self._session().get(URL(target.url, encoded=True), allow_redirects=False, headers=_headers(accept)) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    if not 200 <= response.status < 300:
                        raise EgressFailed(f"The URL answered with status {response.status}.")
                    yield response, target
                    return
            target = follow_url(target, location)
            self._check(target)
        raise EgressFailed(f"The URL redirects more than {self._max_redirects} times.")

    def _check(self, target: Target) -> None:
        if self._allow.has_name(target.host):
            return
        if target.host == "localhost" or target.host.endswith(".localhost"):
            raise no_public_address()
        # The client does not resolve literal addresses, so here is the only check that they meet.
        if target.address is not None and not may_connect(target.address, self._allow):
            raise no_public_address()

    def _session(self) -> aiohttp.ClientSession:  # noqa: TID251 - its name
        import aiohttp  # noqa: PLC0415 - see `fetch`

        if self._opened is None:
            connector = aiohttp.TCPConnector(
                resolver=self._names,  # pyright: ignore[reportArgumentType] - as the base class, which only loads with the library
                use_dns_cache=False,
                force_close=True,
                limit=self._connections,
                ssl=self._ssl_context or True,
            )
            self._opened = aiohttp.ClientSession(  # noqa: TID251 - this is the one place
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout.total_seconds()),
                auto_decompress=False,
                trust_env=False,
            )
        return self._opened


async def _received(response: aiohttp.ClientResponse, target: Target, max_bytes: int, accept: Accept) -> Fetched:
    media_type = _media_type(response)
    if not _accepts(accept, media_type):
        raise EgressMediaTypeRefused(f"The URL serves {media_type[:100]}, which is not taken here.")
    return Fetched(response.status, media_type, await read_body(response, max_bytes), target.url)


def _media_type(response: aiohttp.ClientResponse) -> str:
    return response.content_type.lower()


async def _translated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    import aiohttp  # noqa: PLC0415 - see `fetch`

    try:
        async for chunk in chunks:
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise _failed(error) from error


def _accepts(accept: Accept, media_type: str) -> bool:
    if callable(accept):
        return accept(media_type)
    kind = media_type.partition("/")[0]
    return any(pattern in ("*/*", f"{kind}/*", media_type) for pattern in accept)


def _headers(accept: Accept) -> dict[str, str]:
    types = "*/*" if callable(accept) else ", ".join(accept)
    return {"Accept": types, "Accept-Encoding": "identity", "User-Agent": "pointsman"}


def _failed(error: Exception) -> EgressFailed:
    import aiohttp  # noqa: PLC0415 - see `fetch`

    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return EgressFailed("The URL's host has no certificate that is trusted for its name, or does not speak TLS.")
        case aiohttp.ClientConnectorDNSError():
            return EgressFailed("The URL's host could not be looked up.")
        case aiohttp.ClientConnectorError():
            return EgressFailed("The URL's host could not be connected to.")
        case _:
            return EgressFailed("The URL's host gave no complete HTTP answer.")
