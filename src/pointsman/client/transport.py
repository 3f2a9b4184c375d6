"""One HTTP connection pool to one gateway: requests with the key, answers as JSON, refusals as problems, lists as iterators."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from urllib.parse import quote, urlsplit

from pointsman.client.errors import GatewayUnreachable, ProblemResponse

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Query = Mapping[str, str | int | bool | list[str] | None]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_MOST_A_PAGE = 200


class Transport:
    """Knows where the gateway is and which key to show."""

    def __init__(self, base_url: str, api_key: str | None, *, timeout: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout = timeout

    def call(
        self,
        method: str,
        *path: str,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        patient: bool = False,
    ) -> Any:
        """Send a request; the answer's JSON, None for an empty one. `patient` waits for an answer without limit."""
        response = self.send(method, *path, query=query, body=body, headers=headers, patient=patient)
        return response.json() if response.content else None

    def send(
        self,
        method: str,
        *path: str,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        patient: bool = False,
        upload: tuple[str, bytes] | None = None,
    ) -> httpx.Response:
        """The same, with the whole answer; `upload` is a file name and its content, sent as the part `file`.

        Raises ProblemResponse, GatewayUnreachable.
        """
        with self.explained():
            response = self._http.request(
                method,
                _path(path),
                params=_query(query),
                headers=dict(headers or {}),
                timeout=self._limits(None if patient else self._timeout),
                **_content(body, upload),
            )
        raise_problem(response)
        return response

    def upload(self, *path: str, name: str, file: BinaryIO, fields: Mapping[str, str], idle: float) -> Any:
        """Send a file as multipart, a piece at a time; `idle` seconds in which nothing moves break it. Raises as `send` does."""
        with self.explained():
            response = self._http.request("POST", _path(path), data=dict(fields), files={"file": (name, file)}, timeout=self._limits(idle))
        raise_problem(response)
        return response.json()

    def stream(
        self,
        method: str,
        *path: str,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        idle: float,
    ) -> AbstractContextManager[httpx.Response]:
        """An answer to be read line by line; `idle` seconds of silence break it. Raises what httpx raises."""
        return self._http.stream(
            method, _path(path), params=_query(query), headers=dict(headers or {}), timeout=self._limits(idle), **_content(body)
        )

    def pages(self, *path: str, query: Query | None = None, most: int | None = None) -> Iterator[Any]:
        """The items of a list, page after page as they are asked for; at most `most`."""
        left, cursor = most, None
        while left is None or left > 0:
            wanted = _MOST_A_PAGE if left is None else min(left, _MOST_A_PAGE)
            page = self.call("GET", *path, query={**(query or {}), "limit": wanted, "cursor": cursor})
            yield from page["items"]
            left, cursor = None if left is None else left - len(page["items"]), page["next_cursor"]
            if cursor is None:
                return

    def close(self) -> None:
        """Close the connections, if any were made."""
        if "_http" in self.__dict__:
            self._http.close()

    @contextmanager
    def explained(self) -> Generator[None]:
        """Turn a connection that fails into the problem that says what to do."""
        try:
            yield
        except self._library.TimeoutException as error:
            raise GatewayUnreachable(
                f"{self.base_url} does not answer in time.", hint="Is it busy? `pointsman doctor` looks at the gateway."
            ) from error
        except self._library.ConnectError as error:
            raise self.unreachable() from error
        except (self._library.TransportError, self._library.InvalidURL) as error:
            raise GatewayUnreachable(f"{self.base_url}: {error}.", hint="Check POINTSMAN_URL.") from error

    def unreachable(self) -> GatewayUnreachable:
        """The problem of an address where nobody listens."""
        return GatewayUnreachable(
            f"No gateway answers at {self.base_url}.", hint="Start one with `pointsman up`, or set POINTSMAN_URL to where it listens."
        )

    @property
    def broken(self) -> tuple[type[Exception], ...]:
        """What a connection raises that breaks."""
        return (self._library.TransportError,)

    @cached_property
    def _library(self) -> Any:
        # httpx takes a third of a second to import, which no `--help` should wait for.
        import httpx  # noqa: PLC0415

        return httpx

    @cached_property
    def _http(self) -> httpx.Client:  # noqa: TID251 - this is the client
        headers = {"user-agent": "pointsman-client", "accept": "application/json"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        # A proxy of the environment is for addresses elsewhere.
        nearby = urlsplit(self.base_url).hostname in _LOOPBACK
        with self.explained():
            return self._library.Client(base_url=self.base_url, headers=headers, trust_env=not nearby)

    def _limits(self, seconds: float | None) -> httpx.Timeout:
        return self._library.Timeout(seconds, connect=5.0)


def raise_problem(response: httpx.Response) -> None:
    """Raise what the gateway refused with; the body must have been read."""
    if response.is_success:
        return
    try:
        members = json.loads(response.content)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        members = {"detail": f"{response.request.url.host} answered HTTP {response.status_code} without a problem.", "code": "no-problem"}
    wait = response.headers.get("retry-after", "")
    raise ProblemResponse(response.status_code, cast("dict[str, Any]", members), float(wait) if wait.isdigit() else None)


def _path(parts: tuple[str, ...]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _query(query: Query | None) -> tuple[tuple[str, str], ...]:
    """Lists are given once for each value, what is None not at all."""
    given = {name: value if isinstance(value, list) else [value] for name, value in (query or {}).items()}
    pairs = [(name, value) for name, values in given.items() for value in values if value is not None]
    return tuple((name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in pairs)


def _content(body: object, upload: tuple[str, bytes] | None = None) -> dict[str, Any]:
    if upload is not None:
        return {"files": {"file": upload}}
    return {} if body is None else {"json": body}
