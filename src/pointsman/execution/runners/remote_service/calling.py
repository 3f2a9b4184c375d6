"""Calls to another Pointsman's runner API, whose refusals become those of the target."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from pointsman.execution.connections import RemoteServiceConnection
from pointsman.execution.errors import SandboxRefused, TargetFailed
from pointsman.execution.secrets import Secrets, reveal
from pointsman.kit.egress import Trusted
from pointsman.kit.egress.errors import EgressFailed, EgressTimeout, EgressTooLarge
from pointsman.kit.problems import Problem

Query = Sequence[tuple[str, str]]
_IDLE = timedelta(seconds=30)  # the other side says every ten seconds that it is still there
_LONGEST = timedelta(days=7)
_MOST = 72 * 2**20


class RunnerApi:
    """The runner API at one address, with one key."""

    def __init__(self, connection: RemoteServiceConnection, secrets: Secrets) -> None:
        self._url = connection.url.rstrip("/")
        self._key = connection.api_key
        self._secrets = secrets
        self._http = Trusted()

    async def call(
        self, method: str, *path: str, query: Query = (), body: object = None, archive: bytes | None = None, seconds: float = 60
    ) -> bytes:
        """One exchange: the answer's body. Raises TargetFailed, SandboxRefused."""
        url, headers, content = self._request(path, query, body, archive)
        try:
            answer = await self._http.request(method, url, headers=headers, body=content, timeout=timedelta(seconds=seconds), most=_MOST)
        except (EgressFailed, EgressTimeout, EgressTooLarge) as error:
            raise self._unreached(error) from error
        if answer.status >= 300:
            _refuse(self._url, answer.status, answer.body)
        return answer.body

    async def follow(self, *path: str, body: object) -> AsyncGenerator[dict[str, Any]]:
        """The pieces of a streamed answer. Raises TargetFailed."""
        url, headers, content = self._request(path, (), body, None)
        try:
            async for line in self._http.lines("POST", url, headers=headers, body=content, idle=_IDLE, timeout=_LONGEST):
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])
        except (EgressFailed, EgressTimeout, ValueError) as error:
            raise self._unreached(error) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _request(self, path: Sequence[str], query: Query, body: object, archive: bytes | None) -> tuple[str, dict[str, str], bytes | None]:
        url = "/".join([f"{self._url}/v2/runner", *(quote(part, safe="") for part in path)])
        headers = {"Authorization": f"Bearer {reveal(self._key, self._secrets)}"}
        if archive is not None:
            return url, headers | {"Content-Type": "application/x-tar"}, archive
        if body is not None:
            return url, headers | {"Content-Type": "application/json"}, json.dumps(body).encode()
        return f"{url}?{urlencode(query)}" if query else url, headers, None

    def _unreached(self, error: Exception) -> TargetFailed:
        detail = error.detail if isinstance(error, Problem) else f"its answer cannot be read: {error}"
        return TargetFailed(
            f"The gateway at {self._url} did not answer: {detail}", hint="Is it running, and is `connection_config.url` its address?"
        )


def problem_of(told: Any) -> Problem:
    """The problem that the other side told, as one of this target's."""
    kind = SandboxRefused if told.get("code") == SandboxRefused.code else TargetFailed
    return kind(str(told.get("detail", told)), hint=str(told.get("hint", "")))


def _refuse(url: str, status: int, body: bytes) -> NoReturn:
    try:
        told = json.loads(body)
        code = told["code"]
    except (ValueError, TypeError, KeyError):
        raise TargetFailed(
            f"{url} answered with status {status}, and not as Pointsman does.", hint="Is `connection_config.url` its address?"
        ) from None
    if code in {TargetFailed.code, SandboxRefused.code}:
        raise problem_of(told)
    if code == "body-too-large":
        detail = f"The gateway at {url} takes no body as large as this workspace or input."
        raise SandboxRefused(detail, hint="Its operator sets POINTSMAN_LIMITS__CHAT_BODY_BYTES.")
    raise TargetFailed(f"The gateway at {url} refused: {told.get('detail', code)}", hint=str(told.get("hint", "")))
