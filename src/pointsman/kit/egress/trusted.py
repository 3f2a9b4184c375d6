"""Requests to addresses that the operator wrote into a config: trusted, hence without the checks of users' URLs, and bounded alike."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pointsman.kit.egress.bodies import read_body
from pointsman.kit.egress.errors import EgressFailed, EgressTimeout

if TYPE_CHECKING:
    import aiohttp

_CONNECTIONS = 100
_CONNECT_WITHIN = 5.0
_LONGEST_LINE = 2**20
_MOST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises EgressFailed."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise EgressFailed(f"The answer with status {self.status} is no JSON.") from None


class Trusted:
    """Talks to hosts of the operator's choice; follows no redirect, knows no proxy and no cookie. Close it with `aclose`."""

    def __init__(self) -> None:
        self._opened: aiohttp.ClientSession | None = None  # noqa: TID251 - its name

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: timedelta,  # noqa: ASYNC109 - the limit is the caller's
        most: int = _MOST,
    ) -> Answer:
        """One exchange, whole within `timeout`. Raises EgressFailed, EgressTimeout, EgressTooLarge."""
        async with self._exchange(method, url, headers, body, timeout) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, names, await read_body(response, most))

    async def lines(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        idle: timedelta,
        timeout: timedelta,  # noqa: ASYNC109 - as above
    ) -> AsyncGenerator[bytes]:
        """The lines of a streamed answer, each within `idle` of the one before.

        Raises EgressFailed, also for a status other than 2xx, and EgressTimeout.
        """
        async with self._exchange(method, url, headers, body, timeout) as response:
            if not 200 <= response.status < 300:
                raise EgressFailed(f"The host answered with status {response.status}.")
            rest = b""
            while True:
                async with asyncio.timeout(idle.total_seconds()):
                    chunk = await response.content.readany()
                if not chunk:
                    break
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
                if len(rest) > _LONGEST_LINE:
                    raise EgressFailed(f"A line of the answer is longer than {_LONGEST_LINE} bytes.")
            if rest:
                yield rest

    async def aclose(self) -> None:
        """Close what is open."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        timeout: timedelta,  # noqa: ASYNC109 - as above
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        import aiohttp  # noqa: PLC0415 - a third of a second that the start need not wait for

        # As a file: the library would rather not be given much as bytes.
        content = None if body is None else io.BytesIO(body)
        given = {"Accept-Encoding": "identity", "User-Agent": "pointsman", **(headers or {})}
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                async with self._session().request(method, url, headers=given, data=content, allow_redirects=False) as response:
                    yield response
        except TimeoutError:
            raise EgressTimeout(f"The host did not answer in full within {timeout.total_seconds():g} s.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EgressFailed(f"The host could not be asked: {type(error).__name__}.") from error

    def _session(self) -> aiohttp.ClientSession:  # noqa: TID251 - its name
        import aiohttp  # noqa: PLC0415 - as above

        if self._opened is None:
            self._opened = aiohttp.ClientSession(  # noqa: TID251 - beside the one of users' URLs
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN),
                auto_decompress=False,
                trust_env=False,
            )
        return self._opened
